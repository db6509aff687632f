//! `just bench size`: counts what a server does for a call, and fails where that has risen.

use std::process::ExitCode;

use clap::Parser;

/// Counts instructions, allocations and writes a call under valgrind, which takes some minutes, and compares them
/// with those in bench/stack/size.json.
///
/// BENCH_PROFILE=FILE keeps the last profile, for callgrind_annotate.
#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    args: stack::size::Args,
}

fn main() -> anyhow::Result<ExitCode> {
    let is_good = stack::size::run(&Cli::parse().args)?;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
