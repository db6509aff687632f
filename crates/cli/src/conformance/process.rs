//! Programs of others: run to their end, or in the background until they are told to end.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// A case takes a second or two; one that takes this long hangs.
const RUN_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a server may take until it listens, and then to end.
const START_TIMEOUT: Duration = Duration::from_secs(20);
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is asked whether it listens.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How a program has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) success: bool,
    pub(super) output: String,
    pub(super) errors: String,
}

impl Ended {
    /// Its complaint: the first line that is about an error, else the last that it wrote.
    pub(super) fn complaint(&self) -> String {
        let lines = || self.errors.lines().chain(self.output.lines()).filter(|line| !line.trim().is_empty());
        let error = lines().find(|line| ["rror", "FATAL", "atal:"].iter().any(|word| line.contains(word)));
        error.or_else(|| lines().next_back()).unwrap_or("it says nothing").trim().to_owned()
    }
}

/// Runs a program to its end.
pub(super) async fn run(command: &mut Command) -> Result<Ended> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(RUN_TIMEOUT, command.output())
        .await
        .with_context(|| format!("it has not ended after {RUN_TIMEOUT:?}"))?
        .with_context(|| format!("{name} cannot be run"))?;
    Ok(Ended {
        success: output.status.success(),
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// A program in the background, killed when this is dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it with what it writes going to `log`, and waits until it listens on `address`.
    pub(super) async fn listening(command: &mut Command, log: PathBuf, address: SocketAddr) -> Result<Self> {
        let name = command.as_std().get_program().to_string_lossy().into_owned();
        let file = File::create(&log).with_context(|| format!("{} cannot be written", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("{name} cannot be run"))?;
        let mut process = Self { child, log };
        let listens = timeout(START_TIMEOUT, async {
            while TcpStream::connect(address).await.is_err() {
                if let Some(status) = process.child.try_wait()? {
                    bail!("{name} ended with {status}; it says: {}", process.last_line());
                }
                sleep(POLL_INTERVAL).await;
            }
            Ok(())
        });
        listens.await.with_context(|| format!("{name} does not listen on {address} after {START_TIMEOUT:?}"))??;
        Ok(process)
    }

    /// Tells it to end, and waits until it has. The answer is whether it was content, and the last line
    /// that it wrote.
    pub(super) async fn terminate(mut self) -> Result<(bool, String)> {
        if let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()) {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
        }
        let ended = timeout(END_TIMEOUT, self.child.wait()).await;
        let status = ended.with_context(|| format!("it has not ended after {END_TIMEOUT:?}"))??;
        Ok((status.success(), self.last_line()))
    }

    fn last_line(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        log.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing").to_owned()
    }
}
