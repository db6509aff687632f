//! `cargo seawall restart-drill`: services that are replaced again and again while they are called.
//!
//! The program that `crates/attack` builds does it, and prints a line of JSON for each kind of restart.

use std::process::ExitCode;

use anstyle::Style;
use anyhow::Result;
use serde::Deserialize;

use crate::attack::Programs;
use crate::terminal::{self, BAD, BOLD, GOOD, Table};
use crate::workspace::Workspace;

/// Restarts the user and the order service again and again while they are called.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo seawall restart-drill                  200 restarts, about eight minutes
  cargo seawall restart-drill --restarts 20 --rate 20

Half of the restarts are SIGUSR2, at which a process hands its sockets over to a new one; half are SIGTERM to one of
two replicas of the user service, which is then started again. Each process has peers that never go: a connection that
says nothing, a call without end, and one whose answer is not read.

The databases are in /dev/shm where there is one: a disk that stands still fails calls as well.
LATE is how long after it was due a call was begun, at most: for that long the machine stood still. A call that fails
is followed by what the services have logged about it.

What must be true: no idempotent call fails, each process is gone within its drain timeout and a second, and at once
after a second signal. The exit code is 1 if it is not.")]
pub(crate) struct Args {
    /// How often
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    restarts: u32,
    /// Calls a second, each of which may make others
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Build and restart optimised programs
    #[arg(long)]
    release: bool,
}

/// What came of one kind of restart.
#[derive(Debug, Deserialize)]
struct Restarts {
    case: String,
    expected: String,
    times: u32,
    calls: u64,
    failed: u64,
    p99_ms: f64,
    late_ms: f64,
    end_seconds: f64,
    violations: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let programs = Programs::build(&Workspace::find()?, &["user", "order"], args.release)?;
    let options = [("user", programs.path("user")?), ("order", programs.path("order")?)];
    let numbers = [("restarts", args.restarts), ("rate", args.rate)].map(|(name, value)| (name, value.to_string()));
    let mut words = vec!["restart-drill".to_owned()];
    words.extend(options.into_iter().chain(numbers).flat_map(|(name, value)| [format!("--{name}"), value]));
    terminal::status(
        "Restarting",
        format!("user and order {} times, with {} calls a second", args.restarts, args.rate),
    );
    let mut all: Vec<Restarts> = Vec::new();
    let has_ended_well = programs.run(&words, |restarts| all.push(restarts))?;
    table(&all).lines().into_iter().try_for_each(terminal::print)?;
    terminal::print("")?;
    all.iter().flat_map(|restarts| &restarts.violations).try_for_each(terminal::print)?;
    let (times, calls, failed) = all.iter().fold((0, 0, 0), |(times, calls, failed), restarts| {
        (times + restarts.times, calls + restarts.calls, failed + restarts.failed)
    });
    terminal::print(format!("{times} restarts, {calls} calls, {failed} failed"))?;
    let is_good = has_ended_well && all.iter().all(|restarts| restarts.violations.is_empty());
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(all: &[Restarts]) -> Table {
    let mut table = Table::new(&["RESTART", "EXPECTED", "TIMES", "CALLS", "FAILED", "P99", "LATE", "GONE AFTER", ""]);
    for restarts in all {
        let (result, style) = if restarts.violations.is_empty() { ("ok", GOOD) } else { ("FAILED", BAD) };
        let cells = [
            restarts.expected.clone(),
            restarts.times.to_string(),
            restarts.calls.to_string(),
            restarts.failed.to_string(),
            format!("{:.1} ms", restarts.p99_ms),
            format!("{:.1} ms", restarts.late_ms),
            format!("{:.2} s", restarts.end_seconds),
        ];
        let mut row = vec![(restarts.case.clone(), BOLD)];
        row.extend(cells.map(|cell| (cell, Style::new())));
        row.push((result.to_owned(), style));
        table.row(row);
    }
    table
}
