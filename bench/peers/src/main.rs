//! Seawall's server beside servers of other frameworks: requests for each second of the server's processor time.
//!
//! Every server is written as its framework's documentation has it, with its own timeout, limiter, breaker, metrics
//! and tracing on; README.md says which, and `go/` has them. All serve the contract and the message of `stack/`.
//!
//! # Structure
//! `subjects.rs` builds and starts the servers, `h2load.rs` puts the load on them, `rounds.rs` measures them in
//! turn, `report.rs` sets the figures beside their goals.

mod h2load;
mod report;
mod rounds;
mod subjects;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Parser;

use rounds::Measurements;
use subjects::{Programs, Subject};

/// Compares Seawall's server with those of grpc-go, go-zero, Kratos and connect-go.
#[derive(Debug, Parser)]
struct Args {
    /// How often each server is measured with each load
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// How long a measurement takes, in milliseconds
    #[arg(long, default_value_t = 1_000)]
    millis: u64,
    /// These peers alone
    #[arg(long = "peer", value_enum)]
    peers: Vec<Subject>,
    /// Where to write what was measured, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(args.rounds > 0, "--rounds 0: one or more are needed");
    ensure!(args.millis > 0, "--millis 0: one or more are needed");
    let chosen =
        |subject: &Subject| args.peers.is_empty() || *subject == Subject::Seawall || args.peers.contains(subject);
    let subjects: Vec<Subject> = Subject::ALL.into_iter().filter(chosen).collect();
    let programs = Programs::build()?;
    let measurements =
        Measurements::take(&programs, &subjects, args.rounds, std::time::Duration::from_millis(args.millis))?;
    report::print(&subjects, &measurements);
    if let Some(path) = args.json {
        std::fs::write(path, serde_json::to_string_pretty(&report::json(&subjects, &measurements))?)?;
    }
    Ok(())
}
