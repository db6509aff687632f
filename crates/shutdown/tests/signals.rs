//! Real signals to a real process that refuses to end.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

struct Stuck {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Stuck {
    fn start() -> Self {
        // Examples are built beside the tests.
        let mut path = std::env::current_exe().unwrap();
        path.pop();
        path.pop();
        let mut child = Command::new(path.join("examples/stuck")).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        Self { child, lines }
    }

    fn signal(&mut self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }
}

#[test]
fn a_drain_that_hangs_is_ended_by_force() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut stuck = Stuck::start();
        let start = Instant::now();
        stuck.signal(signal);
        assert_eq!(stuck.lines.next().unwrap().unwrap(), "draining");
        assert_eq!(stuck.child.wait().unwrap().code(), Some(70));
        let took = start.elapsed().as_millis();
        assert!(took >= 1_200, "the drain was cut short: {took} ms");
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut stuck = Stuck::start();
    let start = Instant::now();
    stuck.signal(Signal::SIGTERM);
    assert_eq!(stuck.lines.next().unwrap().unwrap(), "draining");
    stuck.signal(Signal::SIGINT);
    assert_eq!(stuck.child.wait().unwrap().code(), Some(70));
    assert!(start.elapsed().as_millis() < 1_200, "the second signal was not obeyed");
}
