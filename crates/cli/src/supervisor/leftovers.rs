//! Ends processes that an earlier `up` could not end, because it was killed.

use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::time::Instant;

use crate::state::{Process, State};

const DRAIN_TIMEOUT: Duration = Duration::from_secs(4);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Ends what is left of the processes in `state`, and answers how many there were.
///
/// Only for a state whose `up` no longer runs.
pub(crate) async fn end_leftovers(state: &State) -> usize {
    let left: Vec<&Process> = state.processes.iter().filter(|process| is_running(process)).collect();
    for process in &left {
        signal(process, Signal::SIGTERM);
    }
    let end = Instant::now() + DRAIN_TIMEOUT;
    while Instant::now() < end && left.iter().any(|process| is_running(process)) {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    for process in left.iter().filter(|process| is_running(process)) {
        signal(process, Signal::SIGKILL);
    }
    left.len()
}

fn signal(process: &Process, signal: Signal) {
    // Services lead their own process group. Not there any more is what we want.
    if let Some(pid) = pid(process) {
        let _ = killpg(pid, signal);
    }
}

fn pid(process: &Process) -> Option<Pid> {
    i32::try_from(process.pid).ok().filter(|pid| *pid > 1).map(Pid::from_raw)
}

/// Whether the id still belongs to that program: ids are used again.
fn is_running(process: &Process) -> bool {
    let Some(pid) = pid(process) else { return false };
    if kill(pid, None) == Err(Errno::ESRCH) {
        return false;
    }
    runs_program(process.pid, &process.program)
}

#[cfg(target_os = "linux")]
fn runs_program(pid: u32, program: &Path) -> bool {
    // A rebuilt program's old file is marked as deleted.
    let Ok(running) = std::fs::read_link(format!("/proc/{pid}/exe")) else { return false };
    running == program
        || running.to_string_lossy().strip_suffix(" (deleted)").is_some_and(|name| Path::new(name) == program)
}

#[cfg(not(target_os = "linux"))]
fn runs_program(pid: u32, program: &Path) -> bool {
    let output = std::process::Command::new("ps").args(["-o", "comm=", "-p", &pid.to_string()]).output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim() == program.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_counts_only_with_its_program() {
        let pid = std::process::id();
        let program = std::env::current_exe().unwrap();
        assert!(is_running(&Process { pid, program }));
        assert!(!is_running(&Process { pid, program: "/bin/elsewhere".into() }));
    }

    #[test]
    fn ids_that_would_reach_many_are_never_signalled() {
        for pid in [0, 1, u32::MAX] {
            assert!(super::pid(&Process { pid, program: "/bin/x".into() }).is_none());
        }
    }
}
