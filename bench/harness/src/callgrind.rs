//! What a server does for a call, counted by valgrind's callgrind: instructions, allocations, writes.
//!
//! The server is run twice and makes `CALLS` more calls the second time, so that what it does to start and to end
//! is not counted. All its threads count, so what exports spans does.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Sub;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::program::Program;
use crate::tools::tool;
use crate::wire::{self, Call, Shape};

/// How many calls more the second run makes. Of those that are sampled by chance at 1 %, sixty: what a span costs
/// is then known to an eighth, and what a call costs on the average to a thousandth.
pub const CALLS: usize = 6_000;
/// Calls of the first run, after which nothing is done for the first time.
const CALLS_BEFORE: usize = 2_000;

/// Functions by which memory is asked for: those of the C library, and of mimalloc as its crate calls it.
const ALLOCATE: [&str; 8] = [
    "malloc",
    "calloc",
    "realloc",
    "posix_memalign",
    "aligned_alloc",
    "mi_malloc_aligned",
    "mi_zalloc_aligned",
    "mi_realloc_aligned",
];
/// Functions of the C library by which a socket is written to.
const WRITE: [&str; 5] = ["write", "writev", "send", "sendto", "sendmsg"];

/// What a process has done, or does for a call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counts {
    /// Instructions.
    pub instructions: f64,
    /// Blocks of memory asked for, those that grow included.
    pub allocations: f64,
    /// Calls of the system that write, to whatever.
    pub writes: f64,
}

impl Sub for Counts {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            instructions: self.instructions - other.instructions,
            allocations: self.allocations - other.allocations,
            writes: self.writes - other.writes,
        }
    }
}

/// What `server` does for a call of `calls`.
///
/// # Errors
/// If valgrind cannot be had, or a call is not answered.
pub fn per_call(server: &Program, call: &Call, shape: Shape, calls: usize) -> Result<Counts> {
    per_call_with(server, calls, |address, calls| wire::in_step(address, call, shape, calls))
}

/// The same for a load of one's own, which is given the server's address and how many calls to make, and returns
/// when all is done that the server does for them.
///
/// # Errors
/// If valgrind cannot be had, or the load fails.
pub fn per_call_with(
    server: &Program,
    calls: usize,
    mut load: impl FnMut(SocketAddr, usize) -> Result<()>,
) -> Result<Counts> {
    let few = count(server, |address| load(address, CALLS_BEFORE))?;
    let many = count(server, |address| load(address, CALLS_BEFORE + calls))?;
    let Counts { instructions, allocations, writes } = many - few;
    let calls = calls as f64;
    Ok(Counts { instructions: instructions / calls, allocations: allocations / calls, writes: writes / calls })
}

/// What it does from its start to its end.
fn count(server: &Program, load: impl FnOnce(SocketAddr) -> Result<()>) -> Result<Counts> {
    let valgrind = tool("valgrind", "valgrind")?;
    let folder = tempfile::tempdir()?;
    let profile = folder.path().join("callgrind.out");
    let mut words = vec![valgrind.into_os_string()];
    words.extend(["--tool=callgrind", "--quiet"].map(Into::into));
    words.push(format!("--callgrind-out-file={}", profile.display()).into());
    let (process, address) = server.clone().under(words).serve()?;
    load(address)?;
    process.end()?;
    keep(&profile)?;
    read(&std::fs::read_to_string(&profile).context("callgrind has written no profile")?)
}

/// Leaves the profile where `BENCH_PROFILE` says, for callgrind_annotate.
fn keep(profile: &Path) -> Result<()> {
    if let Some(kept) = std::env::var_os("BENCH_PROFILE") {
        std::fs::copy(profile, &kept).with_context(|| format!("{} cannot be written", kept.display()))?;
    }
    Ok(())
}

/// Reads callgrind's format: <https://valgrind.org/docs/manual/cl-format.html>.
fn read(profile: &str) -> Result<Counts> {
    let mut names: HashMap<&str, &str> = HashMap::new();
    let (mut caller, mut callee) = ("", "");
    let mut totals = None;
    let mut counts = Counts { instructions: 0.0, allocations: 0.0, writes: 0.0 };
    for line in profile.lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            caller = resolve(&mut names, name);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            callee = resolve(&mut names, name);
        } else if let Some(call) = line.strip_prefix("calls=") {
            let times: f64 = call.split(' ').next().unwrap_or_default().parse().context("no number of calls")?;
            // One that asks another of them is one all the same.
            if ALLOCATE.contains(&callee) && !ALLOCATE.contains(&caller) {
                counts.allocations += times;
            } else if WRITE.contains(&callee) {
                counts.writes += times;
            }
        } else if let Some(total) = line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")) {
            totals = Some(total.split_whitespace().next().unwrap_or_default().parse::<f64>()?);
        }
    }
    counts.instructions = totals.context("the profile has no total: the process was killed")?;
    Ok(counts)
}

/// `(7) name` says what `(7)` is from now on. A function that is called by itself has a number at its end, and one of
/// several symbols a version.
fn resolve<'a>(names: &mut HashMap<&'a str, &'a str>, text: &'a str) -> &'a str {
    let (id, name) = text.split_once(' ').unwrap_or((text, ""));
    if !name.is_empty() {
        names.insert(id, name);
    }
    let name = names.get(id).copied().unwrap_or_default();
    name.split(['@', '\'']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_the_names_that_were_given_before() {
        let profile = "fn=(1) main\n0 10\ncfn=(2) malloc\ncalls=3 0\n0 300\ncfn=(3) writev@@GLIBC_2.2.5\ncalls=2 0\n\
                       0 5\nfn=(4) realloc\n0 1\ncfn=(2)\ncalls=7 0\n0 70\nfn=(1)\ncfn=(4)\ncalls=1 0\n0 9\n\
                       totals: 395\n";
        let counts = read(profile).expect("a profile");
        assert_eq!(counts, Counts { instructions: 395.0, allocations: 4.0, writes: 2.0 });
    }

    #[test]
    fn a_profile_without_a_total_is_none() {
        assert!(read("fn=(1) main\n0 10\n").is_err());
    }
}
