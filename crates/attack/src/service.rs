//! A service as a process of its own: started with stated settings, measured, told to end.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::timeout;

/// How long a service may take to say that it listens.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Lines of the log that are kept, to be shown when something fails.
const LINES_MAX: usize = 30;
const BYTES_PER_KIB: u64 = 1_024;

/// A running service. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Service {
    name: &'static str,
    child: Child,
    /// Where it serves gRPC.
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<VecDeque<String>>>,
}

impl Service {
    /// Starts `program` with these settings alone, on free ports unless they say otherwise, and waits
    /// until it listens.
    pub(crate) async fn start(name: &'static str, program: &Path, settings: &[(&str, String)]) -> Result<Self> {
        let mut command = Command::new(program);
        command.env_clear().env("SEAWALL_SERVER_LISTEN", "127.0.0.1:0");
        command.env("SEAWALL_SERVER_METRICS_LISTEN", "127.0.0.1:0");
        command.envs(settings.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("{} cannot be run", program.display()))?;
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let (sender, mut heard) = unbounded_channel();
        if let (Some(output), Some(errors)) = (child.stdout.take(), child.stderr.take()) {
            tokio::spawn(listen(output, Arc::clone(&log), sender.clone()));
            tokio::spawn(listen(errors, Arc::clone(&log), sender));
        }
        let Some(address) = timeout(START_TIMEOUT, heard.recv()).await.ok().flatten() else {
            bail!("{name} does not listen; its log:\n{}", text(&log));
        };
        Ok(Self { name, child, address, log })
    }

    /// Where it serves gRPC, as a URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn pid(&self) -> Result<Pid> {
        let pid = self.child.id().with_context(|| format!("{} has ended; its log:\n{}", self.name, text(&self.log)))?;
        Ok(Pid::from_raw(i32::try_from(pid)?))
    }

    /// The memory that it occupies, in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.pid()?);
        let status = std::fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        Ok(kib.with_context(|| format!("{path} does not tell VmRSS"))? * BYTES_PER_KIB)
    }
}

/// The lines of a log.
fn text(log: &Mutex<VecDeque<String>>) -> String {
    let lines = log.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
}

/// Reads what it writes, until it and all its successors have ended.
async fn listen(
    output: impl AsyncRead + Unpin,
    log: Arc<Mutex<VecDeque<String>>>,
    listening: UnboundedSender<SocketAddr>,
) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(heard) = parsed(&line) {
            let _ = listening.send(heard);
        }
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() == LINES_MAX {
            log.pop_front();
        }
        log.push_back(line);
    }
}

/// The address in the line of the log with which a server says that it listens.
fn parsed(line: &str) -> Option<SocketAddr> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    (line["message"] == "listening").then(|| line["address"].as_str()?.parse().ok())?
}
