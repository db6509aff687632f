//! `cargo seawall ps`: what runs.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::state::{Snapshot, State};
use crate::workspace::Workspace;
use crate::{lock, report, terminal};

/// Shows which services run, where, and how they are.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
States: starting, serving, not_serving (it runs, but is not ready), restarting (it died), failed
(it died again and again; it is tried again every 30 s), stopped.
When nothing runs, --json prints an empty list, and both end with code 0.")]
pub(crate) struct Args {
    /// One line of JSON
    #[arg(long)]
    json: bool,
    /// The calls to try that `up` printed, and nothing else
    #[arg(long, conflicts_with = "json")]
    examples: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let layout = Workspace::find()?.layout();
    let state = if lock::is_held(&layout.lock())? { State::read(&layout.state())? } else { None };
    match state {
        Some(state) if args.examples => state.examples.iter().try_for_each(terminal::print)?,
        None if args.examples => bail!("nothing runs here; start it with: cargo seawall up"),
        Some(state) if args.json => report::json(&state.snapshot)?,
        Some(state) => {
            report::services(&state.snapshot, true)?;
            terminal::print("")?;
            report::surroundings(&state.snapshot)?;
        }
        None if args.json => report::json(&Snapshot::default())?,
        None => terminal::print("Nothing runs here. Start it with: cargo seawall up")?,
    }
    Ok(ExitCode::SUCCESS)
}
