//! `cargo seawall trace`: what happened in the last calls, across services.

use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, Result};
use seawall_collector::{Filter, Reader, TraceSummary, table};

use crate::terminal::{self, DIM, styled};
use crate::workspace::Workspace;

/// Lists the last traces, or shows one as a waterfall.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo seawall trace                      the last traces, newest first
  cargo seawall trace 5b8aa5a2             one of them; the beginning of its id is enough
  cargo seawall trace --errors -s order    those that failed and went through order
  cargo seawall trace 5b8aa5a2 --json      its spans, for programs")]
pub(crate) struct Args {
    /// The trace to show, by the beginning of its id; `last` for the newest
    id: Option<String>,
    /// The spans as JSON on one line: of the trace, or of each trace in the list
    #[arg(long)]
    json: bool,
    /// How many traces to list
    #[arg(short = 'n', long, default_value_t = 20, value_name = "N", conflicts_with = "id")]
    lines: usize,
    /// Only traces that went through this service
    #[arg(short, long)]
    service: Option<String>,
    /// Only traces with an error
    #[arg(long)]
    errors: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let file = Workspace::find()?.layout().traces();
    let reader = Reader::open(&file)?;
    let filter = Filter { service: args.service.clone(), errors_only: args.errors, ..Filter::default() };
    match args.id.as_deref() {
        Some("last") => {
            let newest = reader.recent(1, &filter)?;
            let newest = newest.first().context("there is no such trace yet; call a service first")?;
            show(&reader, &newest.trace_id, args.json)?;
        }
        Some(id) => show(&reader, id, args.json)?,
        None if args.json => all(&reader, &reader.recent(args.lines, &filter)?)?,
        None => list(&reader.recent(args.lines, &filter)?, args.errors || args.service.is_some())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn show(reader: &Reader, id: &str, json: bool) -> Result<()> {
    let trace = reader.trace(id)?;
    let trace = trace.with_context(|| format!("there is no trace {id}; list them with: cargo seawall trace"))?;
    if json {
        return terminal::print(serde_json::to_string(&trace)?);
    }
    terminal::print_lines(&trace.waterfall(terminal::width(), true))
}

/// The traces with their spans; one that is evicted while we read is left out.
fn all(reader: &Reader, traces: &[TraceSummary]) -> Result<()> {
    let mut whole = Vec::new();
    for trace in traces {
        whole.extend(reader.trace(&trace.trace_id)?);
    }
    terminal::print(serde_json::to_string(&whole)?)
}

/// What is said where there is no trace to show.
fn none(filtered: bool) -> &'static str {
    if filtered {
        "No traces like that. All of them: cargo seawall trace"
    } else {
        "No traces. Call a service that `cargo seawall up` runs; it prints how."
    }
}

fn list(traces: &[TraceSummary], filtered: bool) -> Result<()> {
    if traces.is_empty() {
        return terminal::print(none(filtered));
    }
    // Colours are taken out again where they do not belong.
    terminal::print_lines(&table(traces, SystemTime::now(), terminal::width(), true))?;
    terminal::print("")?;
    terminal::print(styled(DIM, "one of them: cargo seawall trace ID, or: cargo seawall trace last"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_finds_nothing_does_not_say_that_there_are_no_traces() {
        assert!(none(false).starts_with("No traces. "));
        assert!(none(true).starts_with("No traces like that. "));
    }
}
