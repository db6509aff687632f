//! A program to be run, pinned to a processor, and what its process has used.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::{Signal, kill};
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;
use tempfile::NamedTempFile;

/// How long a process may take to say where it listens; under valgrind everything takes fifty times as long.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long it may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(60);
/// How often what it has written is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(2);
/// How much of it is looked at at once.
const CHUNK_BYTES_MAX: u64 = 1 << 20;

/// A program with its arguments.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    /// The program that runs it, with its arguments.
    wrapper: Vec<OsString>,
    core: Option<usize>,
}

impl Program {
    /// Without arguments, on any processor.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), arguments: vec![], variables: vec![], wrapper: vec![], core: None }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Keeps it on this processor, counted from 0.
    #[must_use]
    pub fn core(mut self, core: usize) -> Self {
        self.core = Some(core);
        self
    }

    /// Has it run by another program, such as valgrind, which takes it and its arguments as its last ones.
    #[must_use]
    pub fn under<A: Into<OsString>>(mut self, wrapper: impl IntoIterator<Item = A>) -> Self {
        self.wrapper = wrapper.into_iter().map(Into::into).collect();
        self
    }

    /// The command, to be run by other means than [`start`](Self::start).
    pub fn command(&self) -> Command {
        let mut words = Vec::new();
        if let Some(core) = self.core {
            words.extend(["taskset".into(), "--cpu-list".into(), core.to_string().into()]);
        }
        words.extend(self.wrapper.iter().cloned());
        words.push(self.path.clone().into_os_string());
        words.extend(self.arguments.iter().cloned());
        let mut command = Command::new(&words[0]);
        // What happens to be set for a service of whoever measures is not for this one.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"SEAWALL_")) {
            command.env_remove(name);
        }
        command.args(&words[1..]).envs(self.variables.iter().cloned());
        command
    }

    /// Starts it. Its standard output goes to a file, as that of a service does, and its standard error to ours.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(&self) -> Result<Process> {
        let said = NamedTempFile::new()?;
        let mut command = self.command();
        command.stdin(Stdio::piped()).stdout(File::options().append(true).open(said.path())?);
        let child = command.spawn().with_context(|| format!("{} cannot be started", self.path.display()))?;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Process { name, child, said, read: 0 })
    }

    /// Starts it and waits until it says where it listens.
    ///
    /// # Errors
    /// If it ends before, or says nothing for a minute.
    pub fn serve(&self) -> Result<(Process, SocketAddr)> {
        let mut process = self.start()?;
        let line = process.line_with("listening", START_TIMEOUT)?;
        let from = line.find("127.0.0.1:").with_context(|| format!("no address: {line}"))?;
        let address: String = line[from..].chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect();
        let address = address.parse().with_context(|| format!("no address: {line}"))?;
        Ok((process, address))
    }
}

/// A process that runs. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    said: NamedTempFile,
    /// How much of `said` was looked at.
    read: u64,
}

impl Process {
    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// The next whole line of its standard output that has `text` in it.
    ///
    /// # Errors
    /// If there is none in time.
    pub fn line_with(&mut self, text: &str, timeout: Duration) -> Result<String> {
        let until = Instant::now() + timeout;
        loop {
            let has_ended = self.child.try_wait()?.is_some();
            let mut new = Vec::new();
            self.said.as_file_mut().seek(SeekFrom::Start(self.read))?;
            self.said.as_file_mut().take(CHUNK_BYTES_MAX).read_to_end(&mut new)?;
            while let Some(end) = new.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = new.drain(..=end).collect();
                self.read += line.len() as u64;
                let line = String::from_utf8_lossy(&line);
                if line.contains(text) {
                    return Ok(line.trim().to_owned());
                }
            }
            if has_ended || Instant::now() >= until {
                bail!("{} does not say {text:?}", self.name);
            }
            pause(POLL_INTERVAL);
        }
    }

    /// Writes a line to its standard input.
    ///
    /// # Errors
    /// If it has ended.
    pub fn say(&mut self, line: &str) -> Result<()> {
        let stdin = self.child.stdin.as_mut().context("it has no standard input")?;
        writeln!(stdin, "{line}").with_context(|| format!("{} has ended", self.name))
    }

    /// The processor time that it has used, user and system together.
    ///
    /// # Errors
    /// If it has ended.
    pub fn cpu_time(&self) -> Result<Duration> {
        cpu_time(self.id()).with_context(|| format!("{} has ended", self.name))
    }

    /// The memory that it has, in bytes; what it shares with others counts by its share (PSS).
    ///
    /// # Errors
    /// If it has ended.
    pub fn memory_bytes(&self) -> Result<u64> {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.id()))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss in smaps_rollup")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
    }

    /// Tells it to end, and waits until it has.
    ///
    /// # Errors
    /// If it does not.
    pub fn end(mut self) -> Result<()> {
        kill(self.pid(), Signal::SIGTERM)?;
        let until = Instant::now() + END_TIMEOUT;
        while self.child.try_wait()?.is_none() {
            if Instant::now() >= until {
                bail!("{} does not end", self.name);
            }
            pause(POLL_INTERVAL);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processor time that the process with this id has used, user and system together.
///
/// # Errors
/// If there is none.
pub fn cpu_time(id: u32) -> Result<Duration> {
    Ok(clock_getcpuclockid(Pid::from_raw(id.cast_signed()))?.now()?.into())
}

/// Does `work` on a thread of its own that is kept on this processor.
///
/// # Panics
/// If there is no such processor, or `work` panics.
pub fn pinned<T: Send>(core: usize, work: impl FnOnce() -> T + Send) -> T {
    let on_core = || {
        let mut cores = CpuSet::new();
        cores.set(core).expect("a processor");
        // 0 is the calling thread.
        sched_setaffinity(Pid::from_raw(0), &cores).expect("a processor that we may use");
        work()
    };
    std::thread::scope(|scope| scope.spawn(on_core).join().expect("work that does not panic"))
}

/// Does nothing for as long.
#[allow(clippy::disallowed_methods, reason = "there is no runtime whose thread could be blocked")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}
