//! Runs the simulation of one seed. `cargo seawall sim` runs many.

use std::process::ExitCode;

use clap::Parser;

/// Runs the simulation of one seed and prints what came of it, as JSON on the last line.
#[derive(Debug, Parser)]
struct Args {
    /// Which run
    #[arg(long)]
    seed: u64,
    /// Print everything that happens
    #[arg(long)]
    log: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let report = seawall_sim::run(args.seed, args.log);
    println!("{}", serde_json::to_string(&report)?);
    Ok(if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
