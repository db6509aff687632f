//! A server as a child process: how it is started, watched and ended.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::Instant;

use crate::user::User;
use crate::{Options, StartError};

const START_TIMEOUT: Duration = Duration::from_secs(30);
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);
const POLL_INTERVAL: Duration = Duration::from_millis(30);

/// Starts the server and ends it when its standard input closes: that is a pipe whose other end the
/// starting process holds and the kernel closes when that process ends, for whatever reason. (A
/// parent-death signal comes already when the thread ends that started the child, is lost when the
/// user changes, and is known to Linux only.)
const GUARD: &str = r#"
signal=$1; remove=$2; shift 2
exec 3<&0
"$@" </dev/null >&2 3<&- &
server=$!
echo "$server"
exec >&2
(
    read -r _ <&3
    kill -s "$signal" "$server"
    tries=0
    while [ "$tries" -lt 40 ] && kill -0 "$server"; do tries=$((tries + 1)); sleep 0.1; done
    kill -s KILL "$server"
) 2>/dev/null &
guard=$!
wait "$server"
status=$?
kill "$guard" 2>/dev/null
# What the server had started itself may write for a moment longer.
tries=0
while [ -n "$remove" ] && [ "$tries" -lt 50 ] && ! rm -rf "$remove"; do tries=$((tries + 1)); sleep 0.1; done
exit "$status"
"#;

/// What to run.
pub(crate) struct Spec<'a> {
    pub(crate) name: &'static str,
    pub(crate) argv: Vec<OsString>,
    pub(crate) user: Option<User>,
    pub(crate) stop_signal: Signal,
    pub(crate) log: &'a Path,
    pub(crate) options: Options,
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    pid: u32,
    /// Open for as long as the server is to run; `None` with a prefix.
    lifeline: Option<ChildStdin>,
    stop_signal: Signal,
    log: PathBuf,
}

impl Process {
    pub(crate) async fn start(spec: Spec<'_>) -> Result<Self, StartError> {
        if let Some(folder) = spec.log.parent() {
            std::fs::create_dir_all(folder).map_err(|source| StartError::io("make the folder", folder, source))?;
        }
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(spec.log)
            .map_err(|source| StartError::io("write the log", spec.log, source))?;
        let cannot = |source| StartError::new(format!("cannot start {}", spec.name)).with_source(source);
        let guarded = spec.options.prefix.is_empty();
        let mut command =
            if guarded { guarded_command(&spec, log) } else { prefixed_command(&spec, log) }.map_err(cannot)?;
        let mut child = command.spawn().map_err(cannot)?;
        let lifeline = child.stdin.take();
        let pid = match child.stdout.take() {
            Some(stdout) => {
                let mut line = String::new();
                let mut stdout = BufReader::new(stdout);
                let read = stdout.read_line(&mut line);
                tokio::time::timeout(START_TIMEOUT, read).await.ok().and_then(|_| line.trim().parse().ok())
            }
            None => child.id(),
        };
        let ended = || StartError::new(format!("{} ended at once", spec.name)).with_log(spec.log);
        let pid = pid.ok_or_else(ended)?;
        Ok(Self { name: spec.name, child, pid, lifeline, stop_signal: spec.stop_signal, log: spec.log.to_owned() })
    }

    /// Waits until `is_ready` says so, the server ends, or 30 s have passed.
    pub(crate) async fn ready(&mut self, is_ready: impl AsyncFn() -> bool) -> Result<(), StartError> {
        let until = Instant::now() + START_TIMEOUT;
        loop {
            // Another program on the port may accept and never answer.
            if tokio::time::timeout(ATTEMPT_TIMEOUT, is_ready()).await.unwrap_or(false) {
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                let text = format!("{} ended while it was starting ({status})", self.name);
                return Err(StartError::new(text).with_log(&self.log));
            }
            if Instant::now() >= until {
                let text = format!("{} did not become ready within {START_TIMEOUT:?}", self.name);
                return Err(StartError::new(text).with_log(&self.log));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// The process id of the server itself.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends it by its signal, and after 5 s by force. Dropping a `Process` asks too, without waiting.
    pub(crate) async fn stop(mut self) {
        self.ask();
        if tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            tracing::warn!(server = self.name, pid = self.pid, "the server did not stop in time and is killed");
            self.signal(Signal::SIGKILL);
            let _ = tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await;
        }
    }

    fn ask(&mut self) {
        // A guarded server is ended by its guard, which also cleans up.
        if self.lifeline.take().is_none() {
            self.signal(self.stop_signal);
        }
    }

    fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.pid) {
            // It may have ended already.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

/// A guarded server ends because its lifeline is dropped; one with a prefix has to be told.
impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.ask();
        }
    }
}

fn guarded_command(spec: &Spec<'_>, log: File) -> std::io::Result<Command> {
    let mut command = Command::new("sh");
    command.args(["-c", GUARD, "seawall-guard", spec.stop_signal.as_str().trim_start_matches("SIG")]);
    command.arg(spec.options.remove_at_end.as_deref().unwrap_or(Path::new(""))).args(&spec.argv);
    if let Some(user) = spec.user {
        command.uid(user.uid).gid(user.gid);
    }
    // A folder that exists for every user, because a server may run as another one.
    command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
    // Ctrl-C in a terminal reaches a whole process group; the servers must outlive the services that use them.
    command.process_group(0);
    Ok(command)
}

fn prefixed_command(spec: &Spec<'_>, log: File) -> std::io::Result<Command> {
    let mut argv = spec.options.prefix.clone();
    if let Some(user) = spec.user {
        // Changing the user clears a parent-death signal that the prefix has set, so it is set again.
        let signal = spec.stop_signal.as_str().trim_start_matches("SIG");
        let arguments = [
            format!("--reuid={}", user.uid),
            format!("--regid={}", user.gid),
            "--clear-groups".to_owned(),
            format!("--pdeathsig={signal}"),
        ];
        argv.push("setpriv".into());
        argv.extend(arguments.map(OsString::from));
        argv.push("--".into());
    }
    argv.extend(spec.argv.iter().cloned());
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).current_dir("/").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.process_group(0);
    Ok(command)
}
