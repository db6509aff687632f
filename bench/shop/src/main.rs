//! The two services of Seawall, with their databases, beside the same services on bare tonic.
//!
//! The whole shop is on one processor and the load on another, so that what a call costs anywhere in the shop counts.
//! README.md of the folder above says how it is read.
//!
//! # Structure
//! `subjects.rs` says what is compared, `databases.rs` starts PostgreSQL and `shop.rs` the services. `measure.rs` puts
//! the same load on all shops in turn, `report.rs` makes tables and figures of what was measured. `profile.rs` asks
//! the services for profiles while they are called, and draws them.

mod databases;
mod measure;
mod profile;
mod report;
mod shop;
mod subjects;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use harness::{Machine, bench_folder};

use databases::Databases;
use measure::Bench;
use subjects::{Engine, Programs};

/// Compares the shop with the same services on bare tonic: PlaceOrder and GetUser, on SQLite and on PostgreSQL, at
/// saturation and at a fixed rate. Takes seven minutes once all is built, and wants the machine for itself.
#[derive(Debug, Parser)]
struct Args {
    /// How often each shop is measured with each load
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long a measurement takes at saturation, in milliseconds; at a fixed rate it is twice as long
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    millis: u64,
    /// These databases alone
    #[arg(long, value_enum, value_delimiter = ',', value_name = "ENGINE,…")]
    only: Vec<Engine>,
    /// Where the databases are, for as long as they are needed: in memory, so that the disk is not measured
    #[arg(long, default_value = "/dev/shm", value_name = "FOLDER")]
    data: PathBuf,
    /// Where the results go, as shop.json and a plot
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Draw flame graphs of our services under PlaceOrder into this folder, in place of measuring; takes a minute and a half
    #[arg(long, value_name = "FOLDER")]
    flames: Option<PathBuf>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let is_chosen = |engine: &Engine| args.only.is_empty() || args.only.contains(engine);
    let engines: Vec<Engine> = Engine::ALL.into_iter().filter(is_chosen).collect();
    let programs = Programs::build()?;
    let databases = Databases::start(&args.data, &engines)?;
    if let Some(folder) = &args.flames {
        return profile::draw(folder, &programs, databases, &engines);
    }
    let machine = Machine::check()?;
    println!("{machine}\n");
    let (rounds, time) = (args.rounds as usize, Duration::from_millis(args.millis));
    let mut bench = Bench::open(&programs, databases, &engines)?;
    let peaks = bench.saturation(&engines, rounds, time)?;
    let fixed = bench.fixed(&engines, rounds, 2 * time, &peaks)?;
    bench.close()?;
    let out = args.out.unwrap_or_else(|| bench_folder().join("target/shop"));
    report::report(&out, &machine, &peaks, &fixed)
}
