//! Seawall's server beside servers of other frameworks: requests for each second of the server's processor time.
//!
//! Every server is written as its framework's documentation has it, with its own timeout, limiter, breaker, metrics
//! and tracing on; README.md says which, and `go/` has them. All serve the contract and the message of `stack/`.
//!
//! # Structure
//! `subjects.rs` builds and starts the servers, `measure.rs` puts the same load on them in turn, `report.rs` sets
//! the figures beside their goals.

mod measure;
mod report;
mod subjects;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use harness::{Machine, bench_folder};

use measure::Measurements;
use subjects::{Programs, Subject};

/// Compares Seawall's server with those of grpc-go, go-zero, Kratos and connect-go: processor time a call. Takes ten
/// minutes, and wants the machine for itself.
#[derive(Debug, Parser)]
struct Args {
    /// How often each server is measured with each load
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long a measurement takes, in milliseconds
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    millis: u64,
    /// These beside Seawall, and no others
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME,…")]
    only: Vec<Subject>,
    /// Where the results go, as peers.json and a plot
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let is_chosen =
        |subject: &Subject| args.only.is_empty() || *subject == Subject::Seawall || args.only.contains(subject);
    let subjects: Vec<Subject> = Subject::ALL.into_iter().filter(is_chosen).collect();
    let programs = Programs::build()?;
    let machine = Machine::check()?;
    println!("{machine}\n");
    let time = Duration::from_millis(args.millis);
    let measurements = Measurements::take(&programs, &subjects, args.rounds as usize, time)?;
    report::print(&subjects, &measurements);
    let out = args.out.unwrap_or_else(|| bench_folder().join("target/peers"));
    report::write(&out, &machine, &subjects, &measurements)?;
    for figure in report::figures(&subjects, &measurements) {
        println!("{figure}");
    }
    Ok(())
}
