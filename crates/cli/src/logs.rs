//! `cargo seawall logs`: what the services say, merged by time.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use crate::layout::Layout;
use crate::log_tail::Tail;
use crate::workspace::Workspace;
use crate::{log_line, terminal};

const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);

/// Prints what the services logged, merged by time.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo seawall logs                 the last lines of all services
  cargo seawall logs -f order        go on as order writes more
  cargo seawall logs --json | jq .   as the services wrote it")]
pub(crate) struct Args {
    /// Only these services [default: all]
    services: Vec<String>,
    /// Go on as more is written
    #[arg(short, long)]
    follow: bool,
    /// How many lines of the past
    #[arg(short = 'n', long, default_value_t = 100, value_name = "N")]
    lines: usize,
    /// The lines as they were written
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let names = names(&workspace, &args.services)?;
    let layout = workspace.layout();
    let width = names.iter().map(String::len).max().unwrap_or(0);
    let print = |service: &str, line: &str| {
        if args.json { terminal::print(line) } else { terminal::print(log_line::pretty(service, line, width)) }
    };
    let mut tails: Vec<(&str, Tail)> =
        names.iter().map(|name| (name.as_str(), Tail::from_start(&layout, name))).collect();
    let past = past(&layout, &mut tails, args.lines)?;
    for (service, line) in &past {
        print(service, line)?;
    }
    if !args.follow {
        if past.is_empty() {
            terminal::warning("Empty", "no logs yet; start the services with: cargo seawall up");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        loop {
            tokio::time::sleep(FOLLOW_INTERVAL).await;
            for (service, line) in merged(&mut tails)? {
                print(&service, &line)?;
            }
        }
    })
}

fn names(workspace: &Workspace, wanted: &[String]) -> Result<Vec<String>> {
    if wanted.is_empty() {
        return Ok(workspace.services.iter().map(|service| service.name.clone()).collect());
    }
    wanted.iter().map(|name| workspace.service(name).map(|service| service.name.clone())).collect()
}

/// The last `count` lines, also of the old logs.
fn past(layout: &Layout, tails: &mut [(&str, Tail)], count: usize) -> Result<Vec<(String, String)>> {
    let mut lines = Vec::new();
    for (name, tail) in tails {
        let old = std::fs::read_to_string(layout.old_log(name)).unwrap_or_default();
        let new = tail.lines()?;
        let all = old.lines().map(str::to_owned).chain(new);
        lines.extend(stamped(name, all));
    }
    let mut lines = sorted(lines);
    Ok(lines.split_off(lines.len().saturating_sub(count)))
}

/// What all logs have grown by.
fn merged(tails: &mut [(&str, Tail)]) -> Result<Vec<(String, String)>> {
    let mut lines = Vec::new();
    for (name, tail) in tails {
        lines.extend(stamped(name, tail.lines()?));
    }
    Ok(sorted(lines))
}

type Stamped = (String, String, String);

/// Lines with their time; one without (the rest of a panic) belongs to the line before it.
fn stamped(name: &str, lines: impl IntoIterator<Item = String>) -> Vec<Stamped> {
    let mut time = String::new();
    let stamp = |line: String| {
        if let Some(own) = log_line::timestamp(&line) {
            time = own;
        }
        (time.clone(), name.to_owned(), line)
    };
    lines.into_iter().map(stamp).collect()
}

fn sorted(mut lines: Vec<Stamped>) -> Vec<(String, String)> {
    lines.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    lines.into_iter().map(|(_, name, line)| (name, line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_merged_by_time_and_a_panic_stays_together() {
        let line = |second: u32| format!(r#"{{"timestamp":"2026-11-21T10:00:0{second}.000000Z"}}"#);
        let user = stamped("user", [line(1), "panicked".into(), "at main".into(), line(4)]);
        let order = stamped("order", [line(2), line(3)]);
        let merged: Vec<String> = sorted([order, user].concat()).into_iter().map(|(_, line)| line).collect();
        assert_eq!(merged, [line(1), "panicked".into(), "at main".into(), line(2), line(3), line(4)]);
    }
}
