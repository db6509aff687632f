//! A service of the workspace as a process of its own, to be called, killed and started again.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::binary;

/// How long a service may take to say that it listens.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Lines of the log that are kept, to be shown when something fails.
const LINES_MAX: usize = 2_000;

/// A running service. Dropped, it is killed; if the test is failing, its log is printed.
#[derive(Debug)]
pub struct Service {
    program: PathBuf,
    variables: Vec<(String, String)>,
    child: Child,
    address: SocketAddr,
    metrics: SocketAddr,
    log: Arc<Mutex<VecDeque<String>>>,
    /// Who serves instead of the child, which has ended.
    successor: Option<Pid>,
}

impl Service {
    /// Starts a service of Seawall's own workspace, built now if it is not up to date, as
    /// [`start_program`](Self::start_program) does.
    ///
    /// # Panics
    /// With its log, if it does not start.
    pub fn start<V: Into<String>>(name: &'static str, variables: impl IntoIterator<Item = (&'static str, V)>) -> Self {
        Self::start_program(binary(name), variables)
    }

    /// Starts a program on free ports and waits until it listens, such as
    /// `env!("CARGO_BIN_EXE_billing")`, which cargo has built for the tests of its package. `variables` are
    /// its settings, such as `("SEAWALL_SQL_URL", "sqlite:///tmp/x.db")`; it has no others.
    ///
    /// # Panics
    /// With its log, if it does not start.
    pub fn start_program<V: Into<String>>(
        program: impl Into<PathBuf>,
        variables: impl IntoIterator<Item = (&'static str, V)>,
    ) -> Self {
        let program = program.into();
        let mut all = vec![
            ("SEAWALL_SERVER_LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("SEAWALL_SERVER_METRICS_LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
        ];
        all.extend(variables.into_iter().map(|(name, value)| (name.to_owned(), value.into())));
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let (child, address, metrics) = spawn(&program, &all, &log);
        Self { program, variables: all, child, address, metrics, log, successor: None }
    }

    /// Where it serves gRPC, as `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it serves gRPC.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it serves `/metrics`.
    pub fn metrics_address(&self) -> SocketAddr {
        self.metrics
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The lines it has written so far; the latest 2,000.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a child can be waited for");
    }

    /// Asks it to end by SIGTERM, and waits until it has.
    ///
    /// # Panics
    /// If it cannot be asked.
    pub fn terminate(mut self) {
        self.drain();
        self.child.wait().expect("a child can be waited for");
    }

    /// Tells it by SIGTERM to drain, and does not wait.
    ///
    /// # Panics
    /// If it cannot be told.
    pub fn drain(&self) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        kill(Pid::from_raw(pid), Signal::SIGTERM).expect("a child can be signalled");
    }

    /// Has it hand its sockets over to a new process by SIGUSR2, and waits until it has drained.
    ///
    /// # Panics
    /// If it does not end well, which it does when the new one serves.
    pub fn hand_over(&mut self) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        kill(Pid::from_raw(pid), Signal::SIGUSR2).expect("a child can be signalled");
        let ended = self.child.wait().expect("a child can be waited for");
        assert!(ended.success(), "{} ended with {ended}", self.program.display());
        let log = self.log();
        let successor = log.iter().rev().find_map(|line| {
            line.contains("starting a successor")
                .then(|| line.split("\"pid\":").nth(1)?.split([',', '}']).next()?.parse().ok())?
        });
        self.successor = Some(Pid::from_raw(successor.expect("the pid of the successor in the log")));
    }

    /// Starts it again after [`kill`](Self::kill), on the same ports and with the same settings.
    ///
    /// # Panics
    /// With its log, if it does not start.
    pub fn start_again(&mut self) {
        self.variables[0].1 = self.address.to_string();
        self.variables[1].1 = self.metrics.to_string();
        (self.child, self.address, self.metrics) = spawn(&self.program, &self.variables, &self.log);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(successor) = self.successor {
            let _ = kill(successor, Signal::SIGKILL);
        }
        if std::thread::panicking() {
            eprintln!("--- log of {} ---", self.program.display());
            self.log().iter().for_each(|line| eprintln!("{line}"));
        }
    }
}

fn spawn(
    program: &Path,
    variables: &[(String, String)],
    log: &Arc<Mutex<VecDeque<String>>>,
) -> (Child, SocketAddr, SocketAddr) {
    let name = program.display();
    let mut child = Command::new(program)
        .env_clear()
        .envs(variables.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
    let (listening, heard) = channel();
    let outputs: [Box<dyn std::io::Read + Send>; 2] =
        [Box::new(child.stdout.take().expect("piped")), Box::new(child.stderr.take().expect("piped"))];
    for output in outputs {
        let (log, listening) = (log.clone(), listening.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(addresses) = addresses(&line) {
                    let _ = listening.send(addresses);
                }
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                if log.len() == LINES_MAX {
                    log.pop_front();
                }
                log.push_back(line);
            }
        });
    }
    drop(listening);
    let (address, metrics) = wait(&heard).unwrap_or_else(|why| {
        let _ = child.kill();
        let log = log.lock().unwrap_or_else(PoisonError::into_inner);
        panic!("{name} {why}:\n{}", log.iter().map(String::as_str).collect::<Vec<_>>().join("\n"))
    });
    (child, address, metrics)
}

fn wait(heard: &Receiver<(SocketAddr, SocketAddr)>) -> Result<(SocketAddr, SocketAddr), &'static str> {
    heard.recv_timeout(START_TIMEOUT).map_err(|error| match error {
        RecvTimeoutError::Timeout => "did not listen in time",
        RecvTimeoutError::Disconnected => "ended instead of listening",
    })
}

/// The addresses in the log line with which a server says that it listens.
fn addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let address = |key: &str| line[key].as_str()?.parse().ok();
    (line["message"] == "listening").then_some(())?;
    Some((address("address")?, address("metrics")?))
}
