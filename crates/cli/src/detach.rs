//! `up --detach`: the same `up` in a session of its own, waited for until it is ready.

use std::ffi::OsString;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::bound::own_executable;
use crate::layout::Layout;
use crate::log_tail::Tail;
use crate::signals::Signals;
use crate::state::{Phase, State};
use crate::{lock, report, terminal, up};

/// The log of a detached `up`.
pub(crate) const LOG: &str = "up";
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Starts `up` detached with the arguments of this one, shows how it goes, and returns when it is ready.
pub(crate) async fn run(layout: &Layout, json: bool) -> Result<ExitCode> {
    layout.create()?;
    // Asked here too, because the log below belongs to the one that runs.
    if lock::is_held(&layout.lock())? {
        return Err(up::runs_already(layout)?);
    }
    let log = layout.log(LOG);
    if log.is_file() {
        std::fs::rename(&log, layout.old_log(LOG))?;
    }
    let output = std::fs::File::options().create(true).append(true).open(&log);
    let output = output.with_context(|| format!("{} cannot be written", log.display()))?;
    let mut signals = Signals::listen()?;
    let arguments = std::env::args_os().skip(1).filter(|argument| argument != "seawall");
    let arguments: Vec<OsString> = arguments
        .map(|argument| if argument == "--detach" || argument == "-d" { "--detached".into() } else { argument })
        .collect();
    let mut command = Command::new(own_executable()?);
    command.arg0("cargo-seawall").args(arguments).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let mut child = command.spawn().context("a detached `up` cannot be started")?;
    let mut tail = Tail::from_start(layout, LOG);
    loop {
        tokio::select! {
            () = tokio::time::sleep(POLL_INTERVAL) => {}
            () = signals.next() => return cancel(child).await,
        }
        // Asked before the log is read, so that the last lines of one that ended are shown.
        let ended = child.try_wait()?;
        show(&mut tail)?;
        if let Some(status) = ended {
            let code = status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0);
            return Ok(code.map_or(ExitCode::FAILURE, ExitCode::from));
        }
        if let Some(state) = State::read(&layout.state())?.filter(|state| Some(state.pid) == child.id())
            && state.phase == Phase::Ready
        {
            if json {
                report::json(&state.snapshot)?;
            } else {
                report::ready(&state, &layout.tools(), "cargo seawall down")?;
            }
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn show(tail: &mut Tail) -> Result<()> {
    for line in tail.lines()? {
        terminal::progress(line);
    }
    Ok(())
}

async fn cancel(mut child: Child) -> Result<ExitCode> {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    child.wait().await?;
    Ok(ExitCode::FAILURE)
}
