//! `cargo seawall sim`: the real services over a simulated network, many times.
//!
//! Each seed is a process of its own, of the program that `crates/sim` builds: what makes a run replay
//! is set once for a process, and a run that hangs or dies harms no other.

use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anstyle::Style;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::compile::cargo;
use crate::terminal::{self, BAD, BOLD, GOOD, Table};
use crate::workspace::Workspace;

/// A run takes a second or two; what takes this long hangs.
const RUN_TIMEOUT: Duration = Duration::from_secs(120);
/// How often progress is told, in seeds.
const PROGRESS_EVERY: u64 = 25;
/// More failures than this say nothing new.
const FAILURES_MAX: usize = 10;

/// Runs the services over a simulated network: crashes, partitions, slow and failing hosts.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo seawall sim                       200 seeds, on all cores
  cargo seawall sim --seeds 5000 --from 1000
  cargo seawall sim --seed 4711 --log     one run again, with everything that happens in it

A seed decides everything: what goes wrong, when, and how long each message takes. What must be true of
each run is told in crates/sim/src/lib.rs.")]
pub(crate) struct Args {
    /// How many seeds
    #[arg(long, default_value_t = SEEDS, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// One seed alone
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Print everything that happens in it
    #[arg(long, requires = "seed", conflicts_with_all = ["seeds", "from"])]
    log: bool,
}

/// How many seeds there are where nobody says so, as in `cargo seawall ci`.
const SEEDS: u64 = 200;

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let program = build(&Workspace::find()?)?;
    if let Some(seed) = args.seed {
        return one(&program, seed, args.log);
    }
    let summary = many(&program, args.from, args.seeds)?;
    summary.report()?;
    Ok(if summary.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The check of `cargo seawall ci`.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let summary = many(&build(workspace)?, 1, SEEDS)?;
    summary.report()?;
    if summary.failures.is_empty() { Ok(()) } else { bail!("the seeds that failed are above") }
}

/// What a run prints on its last line.
#[derive(Debug, Clone, Deserialize)]
struct Report {
    violations: Vec<String>,
    simulated_seconds: f64,
    faults: u64,
    calls: u64,
    failed: u64,
    orders: u64,
    amplification: f64,
    recovery_seconds: f64,
}

/// All runs together.
#[derive(Debug, Default)]
struct Summary {
    runs: Vec<Report>,
    failures: Vec<(u64, Vec<String>)>,
    took: Duration,
}

/// Builds the program, whose progress the user sees, and says where it is.
fn build(workspace: &Workspace) -> Result<PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
    }
    terminal::status("Building", "the simulation (crates/sim)");
    let mut cargo = std::process::Command::new(cargo());
    cargo.current_dir(&workspace.root).stdin(Stdio::null()).stderr(Stdio::inherit());
    // Slightly optimised: a run then takes a third of the time, and 200 of them pay for the build.
    cargo.args(["build", "--profile", "sim", "--package", "seawall-sim", "--message-format=json-render-diagnostics"]);
    let output = cargo.output().context("cargo cannot be run")?;
    if !output.status.success() {
        bail!("the build failed; its errors are above");
    }
    let lines = String::from_utf8_lossy(&output.stdout);
    let mut programs = lines.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok()?.executable);
    programs.next_back().context("cargo has built no program of crates/sim")
}

/// One run, shown as it goes.
fn one(program: &Path, seed: u64, log: bool) -> Result<ExitCode> {
    let mut command = std::process::Command::new(program);
    command.args(["--seed", &seed.to_string()]).stdin(Stdio::null());
    if log {
        command.arg("--log");
    }
    let status = command.status().with_context(|| format!("{} cannot be run", program.display()))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the seeds on all cores, and tells failures as they come.
fn many(program: &Path, from: u64, seeds: u64) -> Result<Summary> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let at_once = std::thread::available_parallelism().map_or(1, usize::from);
        terminal::status("Simulating", format!("{seeds} seeds from {from} on, {at_once} at a time"));
        let began = Instant::now();
        let mut summary = Summary::default();
        let mut waiting = (0..seeds).map(|n| from.wrapping_add(n));
        let mut running = JoinSet::new();
        let mut next = |running: &mut JoinSet<_>| {
            if let Some(seed) = waiting.next() {
                let program = program.to_owned();
                running.spawn(async move { (seed, simulate(&program, seed).await) });
            }
        };
        (0..at_once).for_each(|_| next(&mut running));
        let mut done = 0;
        while let Some(ended) = running.join_next().await {
            let (seed, ended) = ended.context("a run cannot be waited for")?;
            summary.add(seed, ended);
            done += 1;
            if done % PROGRESS_EVERY == 0 && done < seeds {
                let failed = summary.failures.len();
                terminal::status("Simulated", format!("{done} of {seeds} seeds, {failed} failed"));
            }
            if summary.failures.len() < FAILURES_MAX {
                next(&mut running);
            }
        }
        summary.took = began.elapsed();
        Ok(summary)
    })
}

/// One run in the background.
async fn simulate(program: &Path, seed: u64) -> Result<Report> {
    let mut command = Command::new(program);
    command.args(["--seed", &seed.to_string()]).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(RUN_TIMEOUT, command.output())
        .await
        .with_context(|| format!("the run has not ended after {RUN_TIMEOUT:?}"))?
        .with_context(|| format!("{} cannot be run", program.display()))?;
    let lines = String::from_utf8_lossy(&output.stdout);
    let report = lines.lines().last().and_then(|line| serde_json::from_str(line).ok());
    report.with_context(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        format!("the run ended with {}: {}", output.status, errors.trim())
    })
}

impl Summary {
    fn add(&mut self, seed: u64, ended: Result<Report>) {
        let violations = match ended {
            Ok(report) if report.violations.is_empty() => return self.runs.push(report),
            Ok(report) => {
                let violations = report.violations.clone();
                self.runs.push(report);
                violations
            }
            Err(error) => vec![format!("{error:#}")],
        };
        terminal::progress(format_args!("{BAD}{:>12}{BAD:#} seed {seed}", "Failed"));
        for violation in &violations {
            terminal::progress(format_args!("{:>12} {violation}", ""));
        }
        terminal::progress(format_args!("{:>12} to see it again: cargo seawall sim --seed {seed} --log", ""));
        self.failures.push((seed, violations));
    }

    fn report(&self) -> Result<()> {
        let sum = |of: fn(&Report) -> u64| self.runs.iter().map(of).sum::<u64>();
        let most = |of: fn(&Report) -> f64| self.runs.iter().map(of).fold(0.0, f64::max);
        let (calls, failed) = (sum(|run| run.calls), sum(|run| run.failed));
        let simulated: f64 = self.runs.iter().map(|run| run.simulated_seconds).sum();
        let lines = [
            ("seeds", (self.runs.len()).to_string()),
            ("faults", sum(|run| run.faults).to_string()),
            ("calls", calls.to_string()),
            ("calls that failed as trouble explains", failed.to_string()),
            ("orders acknowledged, all found again", sum(|run| run.orders).to_string()),
            ("calls to the user service for each PlaceOrder, at most", format!("{:.2}", most(|run| run.amplification))),
            ("last failure after the last fault, at most", format!("{:.1} s", most(|run| run.recovery_seconds))),
            ("simulated time", format!("{:.0} min", simulated / 60.0)),
            ("time", format!("{:.1} s", self.took.as_secs_f64())),
        ];
        let mut table = Table::new(&["SIMULATION", ""]);
        for (name, value) in lines {
            table.row(vec![(name.to_owned(), Style::new()), (value, BOLD)]);
        }
        let (style, result) = match self.failures.as_slice() {
            [] => (GOOD, "none".to_owned()),
            failures => {
                let seeds: Vec<String> = failures.iter().map(|(seed, _)| seed.to_string()).collect();
                (BAD, seeds.join(" "))
            }
        };
        table.row(vec![("seeds that failed".to_owned(), Style::new()), (result, style)]);
        terminal::print("")?;
        table.lines().into_iter().try_for_each(terminal::print)
    }
}
