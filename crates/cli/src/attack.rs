//! `cargo seawall attack`: what peers send that should not, while good calls go on.
//!
//! The program that `crates/attack` builds does it, and prints a line of JSON for each attack.

mod program;

use std::process::ExitCode;

use anstyle::Style;
use anyhow::Result;
use serde::Deserialize;

use crate::terminal::{self, BAD, BOLD, GOOD, Table};
use crate::workspace::Workspace;

pub(crate) use program::Programs;

/// Attacks the user service with twelve attacks, one after the other, while good calls go on.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo seawall attack                              all twelve, about five minutes
  cargo seawall attack --only ping --only slow-body
  cargo seawall attack --release --rate 500

The attacks: rapid-reset, continuation, ping, settings, empty-data, hpack-bomb, gzip-bomb, slow-headers,
slow-body, zero-window, connections and oversized. Each goes on for as long as it is measured, by several attackers
at a time who come again when they were cut off.

What must be true of each: every attacker is cut off within 5 s, which is that its connection is closed or that all its
calls are refused or ended, as the table says; the memory of the service grows by at most 64 MiB; no good call fails;
and their p99 is at most twice that of the quiet window just before, in the median of the rounds. The exit code is 1 if
it is not.")]
pub(crate) struct Args {
    /// These attacks alone
    #[arg(long, value_name = "ATTACK")]
    only: Vec<String>,
    /// Good calls a second
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// The length of a window of time, in milliseconds
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    window_ms: u64,
    /// How often a quiet window is followed by one with the attack
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..=100))]
    rounds: u64,
    /// Build and attack optimised programs
    #[arg(long)]
    release: bool,
}

/// What came of one attack.
#[derive(Debug, Deserialize)]
struct Report {
    attack: String,
    cut_off: String,
    strikes: u64,
    cut_off_seconds: f64,
    growth_bytes: u64,
    quiet_p99_ms: Vec<f64>,
    attacked_p99_ms: Vec<f64>,
    slower: f64,
    calls: u64,
    failed: u64,
    violations: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let programs = Programs::build(&Workspace::find()?, &["user"], args.release)?;
    let mut words = vec!["attack".to_owned(), "--user".to_owned(), programs.path("user")?];
    for (name, value) in [("rate", args.rate.into()), ("window-ms", args.window_ms), ("rounds", args.rounds)] {
        words.extend([format!("--{name}"), value.to_string()]);
    }
    words.extend(args.only.iter().flat_map(|attack| ["--only".to_owned(), attack.clone()]));
    terminal::status("Attacking", format!("the user service, with {} good calls a second", args.rate));
    let mut reports: Vec<Report> = Vec::new();
    let has_ended_well = programs.run(&words, |report: Report| {
        let (verb, style) = if report.violations.is_empty() { ("Withstood", GOOD) } else { ("Failed", BAD) };
        terminal::progress(format_args!("{style}{verb:>12}{style:#} {}", report.attack));
        reports.push(report);
    })?;
    table(&reports).lines().into_iter().try_for_each(terminal::print)?;
    let failed = reports.iter().filter(|report| !report.violations.is_empty()).count();
    terminal::print("")?;
    for report in &reports {
        report.violations.iter().try_for_each(|why| terminal::print(format!("{}: {why}", report.attack)))?;
    }
    terminal::print(format!("{} attacks, {failed} failed", reports.len()))?;
    Ok(if failed == 0 && has_ended_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(reports: &[Report]) -> Table {
    let headings =
        ["ATTACK", "CUT OFF IS", "AFTER", "TIMES", "MEMORY", "P99 QUIET", "P99 ATTACKED", "RATIO", "FAILED", ""];
    let mut table = Table::new(&headings);
    for report in reports {
        let (result, style) = if report.violations.is_empty() { ("ok", GOOD) } else { ("FAILED", BAD) };
        let cells = [
            report.cut_off.clone(),
            format!("{:.2} s", report.cut_off_seconds),
            report.strikes.to_string(),
            format!("+{:.1} MiB", report.growth_bytes as f64 / f64::from(1 << 20)),
            spread(&report.quiet_p99_ms),
            spread(&report.attacked_p99_ms),
            format!("{:.2}", report.slower),
            format!("{} of {}", report.failed, report.calls),
        ];
        let mut row = vec![(report.attack.clone(), BOLD)];
        row.extend(cells.map(|cell| (cell, Style::new())));
        row.push((result.to_owned(), style));
        table.row(row);
    }
    table
}

/// The median, and the least and the most.
fn spread(values: &[f64]) -> String {
    let (least, most) = values
        .iter()
        .fold((f64::INFINITY, 0.0), |(least, most): (f64, f64), value| (least.min(*value), most.max(*value)));
    format!("{:.1} ms ({least:.1}-{most:.1})", median(values))
}

/// The middle one; the mean of the two that are in the middle of an even number.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.get(half) {
        Some(upper) if sorted.len().is_multiple_of(2) => (sorted[half - 1] + upper) / 2.0,
        Some(middle) => *middle,
        None => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_tells_the_middle_and_both_ends() {
        assert_eq!(spread(&[3.0, 1.0, 2.0]), "2.0 ms (1.0-3.0)");
        assert_eq!(spread(&[1.0, 4.0]), "2.5 ms (1.0-4.0)");
    }
}
