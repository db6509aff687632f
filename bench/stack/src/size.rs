//! What a server does for a call, counted: instructions, allocations and writes, which are the same on every
//! machine, so that they can be held to.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use harness::callgrind::{self, Counts};
use harness::wire;
use harness::{Figure, Goal, Profile, Verdict, bench_folder, table};
use serde_json::{Value, json};

use crate::room::WRITES_GOAL;
use crate::subjects::{OURS, Programs, Sampled, Subject, USUAL, call};
use crate::time::DEEP;

/// How much more instructions than those that are written down a call may take.
const RISE_MAX_PERCENT: f64 = 3.0;
/// How many more allocations and writes: fewer than one in ten calls.
const RISE_MAX: f64 = 0.1;

/// What our layers may add, beside what the naive ones do: a thirtieth.
const NAIVE_SHARE_MAX: f64 = 0.033;
/// What is to be counted.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Count these alone, by their names
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    only: Vec<String>,
    /// Write down what is counted, in place of comparing it with what is written down
    #[arg(long)]
    accept: bool,
    /// Over how many calls; spans that are sampled by chance are few of few
    #[arg(long, value_name = "CALLS", default_value_t = callgrind::CALLS)]
    calls: usize,
}

/// What was counted of a subject.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    pub(crate) counts: Counts,
    /// How many of a hundred spans have come, if all were recorded.
    spans_percent: Option<f64>,
    /// How often it writes for a call of a hundred on one connection, if that is counted.
    deep_writes: Option<f64>,
}

/// Counts, prints, and compares. Whether nothing has risen by more than it may.
///
/// # Errors
/// If something cannot be counted.
pub fn run(args: &Args) -> Result<bool> {
    let counted = count_all(&args.only, args.calls)?;
    print(&counted);
    let figures = figures(&counted);
    if args.accept {
        write_down(&counted)?;
    }
    let gates = if args.accept { Vec::new() } else { gates(&counted)? };
    for figure in figures.iter().chain(&gates) {
        println!("{figure}");
    }
    Ok(gates.iter().all(|gate| gate.verdict() != Verdict::Short))
}

/// Counts those with these names; all, if there are none.
pub(crate) fn count_all(only: &[String], calls: usize) -> Result<Vec<(Subject, Counted)>> {
    let subjects = Subject::chosen(&Subject::COUNTED, only)?;
    let programs = Programs::build(subjects.iter().copied())?;
    let count = |subject| {
        eprintln!("counting {subject}");
        Ok((subject, count(&programs, subject, calls).with_context(|| subject.to_string())?))
    };
    subjects.into_iter().map(count).collect()
}

fn count(programs: &Programs, subject: Subject, calls: usize) -> Result<Counted> {
    let mut collector = programs.collector()?;
    let server = programs.server(subject, collector.address)?;
    let (mut made, call) = (0, call());
    let counts = callgrind::per_call_with(&server, calls, |address, calls| {
        wire::in_step(address, &call, USUAL, calls)?;
        made += calls as u64;
        // What is exported is part of what is counted.
        match subject.sampled() {
            Some(Sampled::All) => collector.settle(made).map(drop),
            Some(Sampled::OnePercent) => collector.settle(u64::MAX).map(drop),
            None => Ok(()),
        }
    })?;
    let is_whole = subject.sampled() == Some(Sampled::All);
    let spans_percent = if is_whole { Some(100.0 * collector.spans()? as f64 / made as f64) } else { None };
    let deep_writes = if subject == Subject::Ours(Sampled::OnePercent) {
        Some(callgrind::per_call(&server, &call, DEEP, calls)?.writes)
    } else {
        None
    };
    Ok(Counted { counts, spans_percent, deep_writes })
}

fn print(counted: &[(Subject, Counted)]) {
    let rows: Vec<_> = counted
        .iter()
        .map(|(subject, Counted { counts, spans_percent, .. })| {
            [
                subject.to_string(),
                format!("{:.0}", counts.instructions),
                format!("{:.2}", counts.allocations),
                format!("{:.3}", counts.writes),
                spans_percent.map(|percent| format!("{percent:.1} %")).unwrap_or_default(),
            ]
        })
        .collect();
    println!("{}", table(["a call", "instructions", "allocations", "writes", "spans counted"], &rows));
}

/// What the layers add, beside its goals.
pub(crate) fn figures(counted: &[(Subject, Counted)]) -> Vec<Figure> {
    let of = |subject: Subject| counted.iter().find(|(other, _)| *other == subject).map(|(_, counted)| counted.counts);
    let Some(off) = of(Subject::Off) else { return Vec::new() };
    let mut figures = Vec::new();
    for (sampled, percent_max) in [(Sampled::OnePercent, 2.5), (Sampled::All, 4.0)] {
        let Some(ours) = of(Subject::Ours(sampled)) else { continue };
        let (added, name) = (ours - off, sampled.name());
        figures.push(Figure::counted(format!("allocations-added-{name}"), added.allocations, Goal::AtMost(0.1)));
        let percent = 100.0 * added.instructions / off.instructions;
        figures.push(Figure::counted(format!("instructions-added-percent-{name}"), percent, Goal::AtMost(percent_max)));
        let naive = Subject::Naive(Profile::Release, OURS, sampled);
        if let (Some(naive), Some(bare)) = (of(naive), of(Subject::ALIKE)) {
            let share = added.instructions / (naive - bare).instructions;
            let goal = Goal::AtMost(NAIVE_SHARE_MAX);
            figures.push(Figure::counted(format!("instructions-added-to-naive-{name}"), share, goal));
        }
    }
    figures
}

fn file() -> PathBuf {
    bench_folder().join("stack/size.json")
}

/// What may not rise, beside what is written down.
fn gates(counted: &[(Subject, Counted)]) -> Result<Vec<Figure>> {
    let text = std::fs::read_to_string(file()).unwrap_or_else(|_| "{}".to_owned());
    let written: BTreeMap<String, Value> =
        serde_json::from_str(&text).with_context(|| format!("{} is not JSON", file().display()))?;
    let mut gates = Vec::new();
    for (subject, Counted { counts, deep_writes, .. }) in counted.iter().filter(|(subject, _)| subject.is_ours()) {
        gates.extend(deep_writes.map(|writes| Figure::counted("size-writes-1x100", writes, WRITES_GOAL)));
        let before = |name| written.get(&subject.to_string()).and_then(|before| before[name].as_f64());
        let rise_max = before("instructions").unwrap_or(f64::NAN) * RISE_MAX_PERCENT / 100.0;
        for (name, value, rise_max) in [
            ("instructions", counts.instructions, rise_max),
            ("allocations", counts.allocations, RISE_MAX),
            ("writes", counts.writes, RISE_MAX),
        ] {
            let title = format!("size-{subject}-{name}");
            gates.push(match before(name) {
                Some(before) => {
                    let goal = Goal::AtMost(((before + rise_max) * 1e3).round() / 1e3);
                    Figure::counted(title, value, goal).note(format!("{before} is written down"))
                }
                None => Figure::missing(title, Goal::AtMost(value), "nothing is written down; --accept does it"),
            });
        }
    }
    Ok(gates)
}

/// Those that were not counted stay as they are.
fn write_down(counted: &[(Subject, Counted)]) -> Result<()> {
    let text = std::fs::read_to_string(file()).unwrap_or_else(|_| "{}".to_owned());
    let mut written: BTreeMap<String, Value> = serde_json::from_str(&text)?;
    let rounded = |value: f64| (value * 1e3).round() / 1e3;
    for (subject, Counted { counts, .. }) in counted {
        let value = json!({
            "instructions": counts.instructions.round(),
            "allocations": rounded(counts.allocations),
            "writes": rounded(counts.writes),
        });
        written.insert(subject.to_string(), value);
    }
    std::fs::write(file(), serde_json::to_string_pretty(&written)? + "\n")?;
    println!("written to {}", file().display());
    Ok(())
}
