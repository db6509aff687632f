//! `cargo seawall down`: ends what `up` started.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::Instant;

use crate::layout::Layout;
use crate::state::State;
use crate::supervisor::end_leftovers;
use crate::workspace::Workspace;
use crate::{lock, terminal};

/// `up` ends within 5 s by itself.
const END_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Ends the services, whether `up` runs detached or in another terminal.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<ExitCode> {
    let layout = Workspace::find()?.layout();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(down(&layout))?;
    Ok(ExitCode::SUCCESS)
}

async fn down(layout: &Layout) -> Result<()> {
    let state = State::read(&layout.state())?;
    if !lock::is_held(&layout.lock())? {
        let left = match state {
            Some(state) => end_leftovers(&state).await,
            None => 0,
        };
        match left {
            0 => terminal::print("Nothing runs here.")?,
            count => terminal::print(format!(
                "Ended {} that an `up` left behind when it was killed.",
                terminal::count(count, "process", "processes")
            ))?,
        }
        return Ok(());
    }
    let state = state.context("an `up` is just beginning; try again in a moment")?;
    let pid = i32::try_from(state.pid).map(Pid::from_raw).context("the state file has no process id")?;
    let began = Instant::now();
    kill(pid, Signal::SIGTERM).with_context(|| format!("`up` (pid {pid}) cannot be signalled"))?;
    while lock::is_held(&layout.lock())? {
        if began.elapsed() > END_TIMEOUT {
            bail!("`up` (pid {pid}) has not ended within {END_TIMEOUT:?}; end it with: kill -9 {pid}");
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    let services = terminal::count(state.snapshot.services.len(), "service", "services");
    terminal::print(format!("Ended {services} in {:.1} s.", began.elapsed().as_secs_f64()))
}
