//! `cargo seawall load`: many calls of a method, and how long they took.
//!
//! With `--rate`, calls are due at times that were fixed before, whatever became of earlier ones, and a call counts
//! from when it was due. A server that stalls for a second so has every call of that second waiting, as callers
//! would; a tool that waits for an answer before it asks again would have seen one slow call ("coordinated omission",
//! G. Tene, "How NOT to Measure Latency").

mod draw;
mod pace;
mod report;
mod schedule;
mod tally;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::Semaphore;

use crate::call::{self, Sending, Target, TlsFiles};
use crate::signals::Signals;
use crate::terminal;
use pace::{Pace, Run};
use report::Report;
use schedule::Schedule;
use tally::Tally;

/// Calls in flight at a time where a rate is aimed at and nothing is said: as many as a server of ours takes on
/// a connection.
const IN_FLIGHT_DEFAULT: usize = 1_000;
const IN_FLIGHT_MAX: usize = 100_000;
const RATE_MAX: f64 = 1e6;
const CONNECTIONS_MAX: usize = 1_000;
const DURATION_MAX: Duration = Duration::from_secs(24 * 3_600);
/// How long calls in flight are waited for after Ctrl-C.
const INTERRUPTED_WAIT: Duration = Duration::from_secs(1);
/// How often the line of progress is written.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// Puts load on a method, and shows how long calls took.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("load").required(true).multiple(true).args(["rate", "concurrency"])))]
#[command(after_help = "\
Examples:
  cargo seawall load user ListUsers --json '{\"page_size\": 1}' --rate 500 --duration 30s --ramp 5s
  cargo seawall load order PlaceOrder --json @order.json --concurrency 50
  cargo seawall load user CreateUser --rate 100 \\
      --json '{\"user\": {\"email\": \"{{id}}@example.com\", \"display_name\": \"{{n}}\"}}'
  cargo seawall load user ListUsers --rate 500 --output json | jq '.latency_ms.OK.p99'

With --rate, calls are due at fixed times and count from then, however slow others are, so that a server that
stalls is seen as its callers see it; --concurrency then bounds those in flight [default: 1000]. With --concurrency
alone, each of so many callers waits for its answer before it calls again, and calls count from when they were sent.
In messages, {{n}} is the number of the call from 1 on, and {{id}} one that no other run has either. Several messages
are sent in turn. One trace of a hundred is recorded. Ctrl-C ends it and shows what there is. The exit code is 1 if
no call has ended well.")]
pub(crate) struct Args {
    /// A service that runs here, host:port, or a URL (https:// for TLS)
    target: String,
    /// `PlaceOrder`, `OrderService/PlaceOrder`, or with its package
    method: String,
    /// Calls a second to be made
    #[arg(long, value_name = "CALLS", value_parser = rate, allow_negative_numbers = true)]
    rate: Option<f64>,
    /// Callers, or with --rate calls in flight at most
    #[arg(long, value_name = "CALLERS", value_parser = clap::value_parser!(u32).range(1..=IN_FLIGHT_MAX as i64))]
    concurrency: Option<u32>,
    /// How long, with the ramp
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// Take so long to come to the rate, or to all callers
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    ramp: Duration,
    /// Connections, which calls take in turn
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=CONNECTIONS_MAX as i64))]
    connections: u16,
    /// How the result is printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Output,
    #[command(flatten)]
    sending: Sending,
    #[command(flatten)]
    tls: TlsFiles,
}

/// For people or programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Text,
    Json,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= RATE_MAX => Ok(rate),
        _ => Err("must be calls a second, more than 0 and at most 1000000".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| format!("{error}; write it as in 30s or 5min"))?;
    if duration > DURATION_MAX { Err("must be at most a day".to_owned()) } else { Ok(duration) }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    anyhow::ensure!(!args.duration.is_zero(), "--duration must be more than 0s");
    anyhow::ensure!(args.ramp <= args.duration, "--ramp must not be longer than --duration, of which it is a part");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let code = runtime.block_on(execute(args));
    // Calls that have not ended are not waited for.
    runtime.shutdown_background();
    code
}

async fn execute(args: &Args) -> Result<ExitCode> {
    let target = Target::resolve(&args.target, &args.tls)?;
    let (method, prepared) = call::prepare(&target, &args.method, &args.sending).await?;
    let mut channels = Vec::new();
    for _ in 0..args.connections {
        channels.push(target.connect().await?);
    }
    let pace = match args.rate {
        Some(rate) => Pace::Open(Schedule::new(rate, args.ramp)),
        None => Pace::Closed { ramp: args.ramp },
    };
    let in_flight_max = args.concurrency.map_or(IN_FLIGHT_DEFAULT, |callers| callers as usize);
    let tally = Arc::new(Tally::new());
    let run = Run { channels, prepared, tally: Arc::clone(&tally), in_flight_max, duration: args.duration };
    terminal::status("Loading", format!("{method} on {}: {}", target.address(), words(args)));
    let began = Instant::now();
    let mut signals = Signals::listen()?;
    let permits = Arc::new(Semaphore::new(in_flight_max));
    let loading = run.execute(pace, Arc::clone(&permits));
    let (interrupted, elapsed) = {
        let mut progress = tokio::time::interval(PROGRESS_INTERVAL);
        tokio::pin!(loading);
        loop {
            tokio::select! {
                ended = &mut loading => break (false, ended.context("the load cannot go on")?),
                () = signals.next() => break (true, began.elapsed()),
                _ = progress.tick() => report::progress(&tally, began.elapsed(), args.duration),
            }
        }
    };
    report::end_progress();
    if interrupted {
        let all = u32::try_from(in_flight_max).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(INTERRUPTED_WAIT, permits.acquire_many(all)).await;
    }
    let report = Report {
        target: target.address(),
        method,
        rate: args.rate,
        rate_average: args.rate.map(|rate| rate * (1.0 - args.ramp.div_duration_f64(args.duration) / 2.0)),
        callers: args.concurrency,
        elapsed,
        interrupted,
        summary: tally.summary(),
        is_ours: target.is_ours,
    };
    match args.output {
        Output::Text => report.print()?,
        Output::Json => terminal::print(report.json())?,
    }
    Ok(if report.summary.succeeded() > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is going to be done.
fn words(args: &Args) -> String {
    let load = match (args.rate, args.concurrency) {
        (Some(rate), Some(most)) => format!("{rate} a second, at most {most} in flight"),
        (Some(rate), None) => format!("{rate} a second"),
        (None, callers) => terminal::count(callers.unwrap_or(1) as usize, "caller", "callers"),
    };
    let ramp =
        if args.ramp.is_zero() { String::new() } else { format!(", ramp {}", humantime::format_duration(args.ramp)) };
    format!("{load} for {}{ramp}", humantime::format_duration(args.duration))
}
