//! How often a server writes, counted by strace, which stops it at these calls of the system alone.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::program::{Program, pause};
use crate::tools::tool;

/// How long strace may take to sum up once the server has ended.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often `server` writes while `load` makes its calls, to whatever it writes. The load is given the server's
/// address.
///
/// # Errors
/// If strace cannot be had or may not be used, or the load fails.
pub fn count(server: &Program, load: impl FnOnce(SocketAddr) -> Result<()>) -> Result<u64> {
    let summary = tempfile::NamedTempFile::new()?;
    let mut words = vec![tool("strace", "strace")?.into_os_string()];
    // As a grandchild, so that it is the server that is told to end; with a filter in the kernel, so that other calls
    // of the system are not stopped at.
    words.extend(["-D", "-f", "--seccomp-bpf", "-c", "-U", "calls,name"].map(Into::into));
    words.extend(["-e", "trace=write,writev,sendto,sendmsg", "-o"].map(Into::into));
    words.push(summary.path().into());
    let (process, address) = server.clone().under(words).serve()?;
    load(address)?;
    process.end()?;
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(count) = total(&std::fs::read_to_string(summary.path())?) {
            return Ok(count);
        }
        ensure!(Instant::now() < until, "strace says nothing");
        pause(Duration::from_millis(10));
    }
}

/// The first number of the line of the total.
fn total(summary: &str) -> Option<u64> {
    let line = summary.lines().find(|line| line.ends_with(" total"))?;
    line.split_whitespace().next()?.parse().context("no number").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read() {
        let summary = "    calls syscall\n--------- ----------------\n     1203 writev\n       10 write\n\
                       --------- ----------------\n     1213 total\n";
        assert_eq!(total(summary), Some(1213));
        assert_eq!(total("    calls syscall\n"), None);
    }
}
