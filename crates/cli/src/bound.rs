//! A hidden command that becomes another program which dies with the process that started it.
//!
//! `up` starts services through it. On Linux the kernel sends SIGTERM to the service when `up` is
//! gone, even after `kill -9`. Elsewhere the next `up` or `down` ends what was left.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

/// Becomes PROGRAM, bound to the life of the parent.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The process that must be our parent.
    #[arg(long)]
    parent: i32,
    /// What to become.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// The words that start `program` bound to this process.
///
/// Call it from the main thread: the kernel watches the thread that starts a child, not the process.
pub(crate) fn command(program: &std::path::Path) -> Result<tokio::process::Command> {
    let mut command = tokio::process::Command::new(own_executable()?);
    command.args(["exec-bound", "--parent", &std::process::id().to_string(), "--"]).arg(program);
    command.process_group(0);
    Ok(command)
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::signal::Signal;
        nix::sys::prctl::set_pdeathsig(Signal::SIGTERM).context("the signal at the parent's death cannot be set")?;
    }
    // The parent may have died before the signal was asked for; then it never comes.
    if nix::unistd::getppid().as_raw() != args.parent {
        return Ok(ExitCode::FAILURE);
    }
    let (program, arguments) = args.command.split_first().context("no program is given")?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("{} cannot be run", program.display()))
}

/// This program, also after a rebuild has replaced its file.
pub(crate) fn own_executable() -> Result<std::path::PathBuf> {
    if cfg!(target_os = "linux") {
        return Ok("/proc/self/exe".into());
    }
    std::env::current_exe().context("the path of this program is not known")
}
