//! `just bench client`: what a call costs its caller. Bare tonic channels beside Seawall's with everything on, against
//! the same three bare servers.

mod allocations;
mod load;
mod processes;
mod server;
mod subject;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;
use harness::{Figure, Goal, Machine, Spread, table};
use load::{Cost, Load};
use processes::Servers;
use subject::Subject;

/// How many calls are in flight at a time, in each comparison.
const IN_FLIGHT: [usize; 3] = [1, 10, 100];

/// The calls of one count; it is exact but for timers.
const COUNTED_CALLS: usize = 4_000;

/// What Seawall's calls per second of the processor, divided by those of one bare channel, are to be at least.
const GOAL: Goal = Goal::AtLeast(0.95);

/// Compares Seawall's channel with tonic's: processor time, instructions and allocations a call. Takes five
/// minutes, and wants the machine for itself.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    process: Option<Process>,
    /// How often each is timed; all in turn.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// The calls of one timing.
    #[arg(long, default_value_t = 60_000)]
    calls: usize,
    /// Does not count instructions and allocations.
    #[arg(long)]
    only_time: bool,
    /// Where the figures are written as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What a process of the comparison does.
#[derive(Debug, clap::Subcommand)]
enum Process {
    #[command(hide = true)]
    Serve,
    #[command(hide = true)]
    Load(Load),
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    match &cli.process {
        Some(Process::Serve) => {
            processes::pin_server();
            on_one_thread(server::run());
        }
        Some(Process::Load(load)) => {
            processes::pin_client();
            processes::tell(&on_one_thread(load::run(load)));
        }
        None => compare(&cli)?,
    }
    Ok(())
}

fn on_one_thread<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn compare(cli: &Cli) -> Result<()> {
    println!("{}\n", Machine::check()?);
    let servers = Servers::start();
    if !cli.only_time {
        count(&servers)?;
    }
    let figures = time(&servers, cli);
    for figure in &figures {
        println!("{figure}");
    }
    if let Some(path) = &cli.json {
        let figures: Vec<_> = figures.iter().map(Figure::json).collect();
        let text = serde_json::to_string_pretty(&serde_json::json!({ "figures": figures }))?;
        std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

/// Instructions and allocations, which do not depend on what else runs.
fn count(servers: &Servers) -> Result<()> {
    let mut rows = Vec::new();
    for in_flight in IN_FLIGHT {
        for subject in Subject::ALL {
            let load = servers.load(subject, in_flight, COUNTED_CALLS);
            let Cost { calls, allocations, bytes, .. } = processes::measure(&load.clone().counting());
            let instructions = processes::instructions(&load)?;
            let each = |count: u64| count as f64 / calls as f64;
            rows.push([
                subject.about().to_owned(),
                in_flight.to_string(),
                format!("{instructions:.0}"),
                format!("{:.1}", each(allocations)),
                format!("{:.0}", each(bytes)),
            ]);
        }
    }
    println!("{}", table(["client", "in flight", "instructions a call", "allocations", "bytes of them"], &rows));
    Ok(())
}

/// Time, in rounds: all clients in turn, each round in another order.
fn time(servers: &Servers, cli: &Cli) -> Vec<Figure> {
    let (mut rows, mut figures) = (Vec::new(), Vec::new());
    for in_flight in IN_FLIGHT {
        let mut costs: [Vec<Cost>; Subject::ALL.len()] = Default::default();
        for round in 0..cli.rounds.max(1) {
            for turn in 0..Subject::ALL.len() {
                let which = (round + turn) % Subject::ALL.len();
                costs[which].push(processes::measure(&servers.load(Subject::ALL[which], in_flight, cli.calls)));
            }
        }
        let cpu = |cost: &Cost| cost.cpu.as_secs_f64() * 1e6 / cost.calls as f64;
        for (subject, own) in Subject::ALL.into_iter().zip(&costs) {
            let to = |other: &[Cost]| Spread::of(other.iter().zip(own).map(|(other, own)| cpu(other) / cpu(own)));
            let [ratio, to_balanced] = [to(&costs[0]), to(&costs[1])];
            let rate = Spread::of(own.iter().map(|cost| cost.calls as f64 / cost.took.as_secs_f64()));
            rows.push([
                subject.about().to_owned(),
                in_flight.to_string(),
                format!("{:.0}", rate.median),
                format!("{:.2}", Spread::of(own.iter().map(cpu)).median),
                format!("{:.3}", ratio.median),
                format!("{:.3}", to_balanced.median),
            ]);
            if subject == Subject::Ours {
                figures.push(Figure::measured(format!("client/in_flight_{in_flight}"), ratio, GOAL));
            }
        }
    }
    let heads = ["client", "in flight", "calls/s", "µs a call", "to one channel", "to a balance channel"];
    println!("{}", table(heads, &rows));
    figures
}
