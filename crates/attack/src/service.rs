//! A service as a process of its own: started with stated settings, measured, replaced, told to end.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use seawall_trace::TraceId;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, timeout};

/// How long a service may take to do what it is about to say: that it listens, or that it ends.
const HEAR_TIMEOUT: Duration = Duration::from_secs(60);
/// How often it is seen whether a process has ended.
const END_INTERVAL: Duration = Duration::from_millis(5);
/// Lines of the log that are kept, and those of them that are shown when it does not start or end.
const LINES_MAX: usize = 10_000;
const LINES_SHOWN: usize = 30;
const BYTES_PER_KIB: u64 = 1_024;

/// What a service says in its log that matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// It serves gRPC and metrics there.
    Listens(SocketAddr, SocketAddr),
    /// It has started another process that is to take its sockets.
    HasSuccessor(Pid),
    /// It drains, since this moment.
    Drains(Instant),
}

/// A running service. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Service {
    name: &'static str,
    program: PathBuf,
    settings: Vec<(&'static str, String)>,
    /// The process that serves, which is not the one that was started when that has handed over.
    pid: Pid,
    /// Where it serves gRPC.
    pub(crate) address: SocketAddr,
    metrics: SocketAddr,
    said: UnboundedReceiver<Said>,
    /// What it has said that nobody has waited for.
    unasked: VecDeque<Said>,
    log: Log,
}

/// The last lines of a service, its predecessors' as well.
type Log = Arc<Mutex<VecDeque<String>>>;

impl Service {
    /// Starts `program` with these settings alone, on free ports, and waits until it listens.
    pub(crate) async fn start(
        name: &'static str,
        program: &Path,
        settings: Vec<(&'static str, String)>,
    ) -> Result<Self> {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::spawn(name, program, settings, anywhere, anywhere, Arc::default()).await
    }

    /// Starts it again on the same ports after it has ended.
    pub(crate) async fn start_again(&mut self) -> Result<()> {
        let (settings, log) = (self.settings.clone(), Arc::clone(&self.log));
        *self = Self::spawn(self.name, &self.program, settings, self.address, self.metrics, log).await?;
        Ok(())
    }

    async fn spawn(
        name: &'static str,
        program: &Path,
        settings: Vec<(&'static str, String)>,
        address: SocketAddr,
        metrics: SocketAddr,
        log: Log,
    ) -> Result<Self> {
        let mut command = Command::new(program);
        command.env_clear().env("SEAWALL_SERVER_LISTEN", address.to_string());
        command.env("SEAWALL_SERVER_METRICS_LISTEN", metrics.to_string());
        command.envs(settings.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{} cannot be run", program.display()))?;
        let pid = Pid::from_raw(i32::try_from(child.id())?);
        let (sender, said) = unbounded_channel();
        if let (Some(output), Some(errors)) = (child.stdout.take(), child.stderr.take()) {
            tokio::spawn(listen(ChildStdout::from_std(output)?, Arc::clone(&log), sender.clone()));
            tokio::spawn(listen(ChildStderr::from_std(errors)?, Arc::clone(&log), sender));
        }
        let (program, settings) = (program.to_owned(), settings);
        let unasked = VecDeque::new();
        let mut service = Self { name, program, settings, pid, address, metrics, said, unasked, log };
        service.listens().await?;
        Ok(service)
    }

    /// Waits until it, or its successor, says that it listens.
    async fn listens(&mut self) -> Result<()> {
        (self.address, self.metrics) = self
            .says(
                "listening",
                |said| if let Said::Listens(grpc, metrics) = said { Some((grpc, metrics)) } else { None },
            )
            .await?;
        Ok(())
    }

    /// Waits until it says something, or finds that it has. A process and its successor write at the same
    /// time, so that what one says may be heard before what the other has said.
    async fn says<T>(&mut self, what: &str, is: impl Fn(Said) -> Option<T>) -> Result<T> {
        let before = self.unasked.iter().position(|said| is(*said).is_some());
        if let Some(found) = before.and_then(|at| self.unasked.remove(at)).and_then(&is) {
            return Ok(found);
        }
        let heard = timeout(HEAR_TIMEOUT, async {
            loop {
                let said = self.said.recv().await?;
                match is(said) {
                    Some(found) => return Some(found),
                    None => self.unasked.push_back(said),
                }
            }
        });
        match heard.await.ok().flatten() {
            Some(found) => Ok(found),
            None => bail!("{} does not say that it is {what}; its log:\n{}", self.name, self.log()),
        }
    }

    /// Has it hand its sockets over to a new process, and answers how long it took from the beginning of
    /// its drain to its end.
    pub(crate) async fn hand_over(&mut self) -> Result<Duration> {
        let predecessor = self.pid;
        self.signal(Signal::SIGUSR2)?;
        self.pid =
            self.says("replaced", |said| if let Said::HasSuccessor(pid) = said { Some(pid) } else { None }).await?;
        self.listens().await?;
        let drains = self.drains().await?;
        self.ended(predecessor, drains).await
    }

    /// Tells it to end, and answers how long it took.
    pub(crate) async fn terminate(&mut self) -> Result<Duration> {
        let told = Instant::now();
        self.signal(Signal::SIGTERM)?;
        self.drains().await?;
        self.ended(self.pid, told).await
    }

    /// Waits until it says that it drains.
    pub(crate) async fn drains(&mut self) -> Result<Instant> {
        self.says("draining", |said| if let Said::Drains(since) = said { Some(since) } else { None }).await
    }

    /// Waits until the process has ended well, and answers how long that took.
    async fn ended(&self, pid: Pid, since: Instant) -> Result<Duration> {
        let (status, took) = end(pid, since).await?;
        match status {
            WaitStatus::Exited(_, 0) => Ok(took),
            status => bail!("{} has ended with {status:?} after {took:?}; its log:\n{}", self.name, self.log()),
        }
    }

    /// Tells it to end a second time, and answers how long it took from then on, and how it ended.
    pub(crate) async fn insist(&self) -> Result<(WaitStatus, Duration)> {
        let told = Instant::now();
        self.signal(Signal::SIGTERM)?;
        end(self.pid, told).await
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid, signal).with_context(|| format!("{} cannot be told {signal}", self.name))
    }

    /// Where it serves gRPC, as a URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The last lines that it has written.
    fn log(&self) -> String {
        let lines = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = lines.len().saturating_sub(LINES_SHOWN);
        lines.iter().skip(skipped).map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// What it has written about a trace, and the last lines about itself, each with its name.
    pub(crate) fn log_of(&self, trace: TraceId) -> Vec<String> {
        let (lines, trace) = (self.log.lock().unwrap_or_else(PoisonError::into_inner), trace.to_string());
        let of_calls = |line: &&String| line.contains(r#""trace_id""#);
        let newest = lines.iter().rev().filter(|line| !of_calls(line)).take(LINES_SHOWN);
        let mut found: Vec<&String> = newest.chain(lines.iter().filter(|line| line.contains(&trace))).collect();
        // They begin with the time.
        found.sort();
        found.into_iter().map(|line| format!("    {} at {}: {line}", self.name, self.address)).collect()
    }

    /// The memory that it occupies, in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.pid);
        let status = std::fs::read_to_string(&path);
        let status = status.with_context(|| format!("{} has ended; its log:\n{}", self.name, self.log()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        Ok(kib.with_context(|| format!("{} has ended; its log:\n{}", self.name, self.log()))? * BYTES_PER_KIB)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // One that has ended is gone.
        if matches!(waitpid(self.pid, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive)) {
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = waitpid(self.pid, None);
        }
    }
}

/// Has the processes that services start become children of this one when those have ended, so that it
/// is seen how they end.
pub(crate) fn adopt_orphans() -> Result<()> {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true).context("orphans cannot be adopted")?;
    Ok(())
}

/// Waits until a process has ended, and tells how, and how long that took.
async fn end(pid: Pid, since: Instant) -> Result<(WaitStatus, Duration)> {
    let ended = timeout(HEAR_TIMEOUT, async {
        loop {
            match waitpid(pid, Some(WaitPidFlag::WNOHANG))? {
                WaitStatus::StillAlive => sleep(END_INTERVAL).await,
                status => return anyhow::Ok((status, since.elapsed())),
            }
        }
    });
    ended.await.with_context(|| format!("the process {pid} does not end"))?
}

/// Reads what it writes, until it and all its successors have ended.
async fn listen(output: impl AsyncRead + Unpin, log: Log, said: UnboundedSender<Said>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(heard) = parsed(&line) {
            let _ = said.send(heard);
        }
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() == LINES_MAX {
            log.pop_front();
        }
        log.push_back(line);
    }
}

/// What matters of a line of the log.
fn parsed(line: &str) -> Option<Said> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let address = |key: &str| line[key].as_str()?.parse().ok();
    match line["message"].as_str()? {
        "listening" => Some(Said::Listens(address("address")?, address("metrics")?)),
        "starting a successor" => Some(Said::HasSuccessor(Pid::from_raw(line["pid"].as_i64()?.try_into().ok()?))),
        "shutting down" => Some(Said::Drains(Instant::now())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_is_heard() {
        let said = parsed(r#"{"message":"listening","address":"127.0.0.1:1","metrics":"127.0.0.1:2"}"#);
        assert_eq!(said, Some(Said::Listens(([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into())));
        let said = parsed(r#"{"message":"starting a successor","pid":7}"#);
        assert_eq!(said, Some(Said::HasSuccessor(Pid::from_raw(7))));
        assert_eq!(parsed(r#"{"message":"drained"}"#), None);
        assert_eq!(parsed("thread panicked"), None);
    }
}
