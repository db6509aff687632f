//! The processes of a comparison: three servers on one core, and one client at a time on the other.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::tool;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::load::{Cost, Load};
use crate::subject::Subject;

/// How many servers there are.
const SERVERS: usize = 3;

/// Which core clients run on, and which one servers do.
const CLIENT_CORE: usize = 0;
const SERVER_CORE: usize = 1;

/// Has this process run on one core alone, if there is such a one.
fn pin(core: usize) {
    let mut cores = CpuSet::new();
    let pinned = cores.set(core).and_then(|()| sched_setaffinity(Pid::from_raw(0), &cores));
    if let Err(error) = pinned {
        eprintln!("not pinned to core {core}: {error}");
    }
}

pub(crate) fn pin_client() {
    pin(CLIENT_CORE);
}

pub(crate) fn pin_server() {
    pin(SERVER_CORE);
}

fn this_program() -> std::path::PathBuf {
    std::env::current_exe().expect("this program")
}

/// Servers that run until this is dropped.
#[derive(Debug)]
pub(crate) struct Servers {
    processes: Vec<Child>,
    addresses: Vec<SocketAddr>,
}

impl Servers {
    pub(crate) fn start() -> Self {
        let mut all = Self { processes: Vec::new(), addresses: Vec::new() };
        for _ in 0..SERVERS {
            let mut server =
                Command::new(this_program()).arg("serve").stdout(Stdio::piped()).spawn().expect("a server starts");
            let output = BufReader::new(server.stdout.take().expect("its output"));
            all.processes.push(server);
            let line = output.lines().next().expect("it says where it is").expect("a line");
            all.addresses.push(line.parse().expect("an address"));
        }
        all
    }
}

impl Servers {
    /// Calls to them.
    pub(crate) fn load(&self, subject: Subject, in_flight: usize, calls: usize) -> Load {
        Load { subject, in_flight, calls, servers: self.addresses.clone(), is_counting: false }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for server in &mut self.processes {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// The arguments of this program when it is to make these calls.
fn arguments(load: &Load) -> Vec<String> {
    let servers: Vec<String> = load.servers.iter().map(ToString::to_string).collect();
    let Load { subject, calls, in_flight, .. } = load;
    let mut words = vec!["load".to_owned(), subject.name().to_owned(), in_flight.to_string(), calls.to_string()];
    words.push(servers.join(","));
    words.extend(load.is_counting.then(|| "--is-counting".to_owned()));
    words
}

/// Makes the calls in a process of their own.
pub(crate) fn measure(load: &Load) -> Cost {
    let output =
        Command::new(this_program()).args(arguments(load)).stderr(Stdio::inherit()).output().expect("a client starts");
    assert!(output.status.success(), "the client of {load:?} has failed");
    let text = String::from_utf8(output.stdout).expect("text");
    let numbers: Vec<u64> = text.split_whitespace().map(|number| number.parse().expect("a number")).collect();
    let [calls, took, cpu, allocations, bytes] = numbers[..] else { panic!("five numbers, not {text:?}") };
    let (took, cpu) = (Duration::from_nanos(took), Duration::from_nanos(cpu));
    Cost { calls: calls as usize, took, cpu, allocations, bytes }
}

/// Tells the process that asked for it.
pub(crate) fn tell(cost: &Cost) {
    let Cost { calls, took, cpu, allocations, bytes } = cost;
    println!("{calls} {} {} {allocations} {bytes}", took.as_nanos(), cpu.as_nanos());
}

/// How many instructions a call takes: those of `calls` and of twice as many, as valgrind counts them.
///
/// # Errors
/// If there is no valgrind, and none can be installed.
pub(crate) fn instructions(load: &Load) -> Result<f64> {
    let valgrind = tool("valgrind", "valgrind")?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("callgrind.out");
    let counted = |calls: usize| {
        let status = Command::new(&valgrind)
            .args(["--quiet", "--tool=callgrind"])
            .arg(format!("--callgrind-out-file={}", file.display()))
            .arg(this_program())
            .args(arguments(&Load { calls, ..load.clone() }))
            .stdout(Stdio::null())
            .status()?;
        ensure!(status.success(), "the client of {load:?} has failed");
        let text = std::fs::read_to_string(&file)?;
        let totals = text.lines().find_map(|line| line.strip_prefix("totals: ")).context("valgrind wrote no total")?;
        Ok(totals.trim().parse::<f64>()?)
    };
    Ok((counted(2 * load.calls)? - counted(load.calls)?) / load.calls as f64)
}
