//! How long calls take that come at a fixed rate, whatever becomes of those before them.
//!
//! A call's time begins when it should have been made: if the load or the server falls behind, the calls that wait
//! for it have waited, which is what a load that keeps a number of calls in flight does not see (coordinated
//! omission; Gil Tene, How NOT to Measure Latency).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::statistics::percentile;
use crate::wire::{Call, Connection, Received};

/// How long the last answers may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// More calls than this without an answer, and the server does not keep up.
const WAITING_MAX: usize = 100_000;

/// Times of calls, in nanoseconds and sorted.
#[derive(Debug, Clone)]
pub struct Latencies(Vec<u64>);

impl Latencies {
    /// The time that `share` of all calls do not exceed, such as 0.999.
    pub fn percentile(&self, share: f64) -> Duration {
        Duration::from_nanos(percentile(&self.0, share))
    }
}

/// Makes `per_second` calls a second for `time`, on as many connections in turn. It uses all of the processor that it
/// runs on, so whoever calls this is to be alone on that one.
///
/// # Errors
/// If a call is not answered with a message, or the server does not keep up.
pub fn at_rate(
    address: SocketAddr,
    call: &Call,
    connections: usize,
    per_second: f64,
    time: Duration,
) -> Result<Latencies> {
    ensure!(connections > 0 && per_second > 0.0, "calls need connections and a rate");
    let mut lines = (0..connections).map(|_| Line::open(address)).collect::<Result<Vec<_>>>()?;
    let calls = (per_second * time.as_secs_f64()) as usize;
    let due = |place: usize| Duration::from_secs_f64(place as f64 / per_second);
    let (mut made, mut latencies) = (0, Vec::with_capacity(calls));
    let (mut messages, start) = (0, Instant::now());
    while latencies.len() < calls {
        let now = start.elapsed();
        while made < calls && due(made) <= now {
            lines[made % connections].begin(call, due(made))?;
            made += 1;
        }
        for line in &mut lines {
            messages += line.receive(start, &mut latencies)?.messages;
        }
        ensure!(made - latencies.len() <= WAITING_MAX, "{per_second:.0} calls a second are more than it serves");
        if now > time + PATIENCE {
            bail!("{} of {calls} calls are never answered", calls - latencies.len());
        }
    }
    ensure!(messages == calls, "{} of {calls} calls were refused", calls - messages);
    latencies.sort_unstable();
    Ok(Latencies(latencies))
}

/// A connection, and when each of its calls was due.
struct Line {
    connection: Connection,
    due: Vec<Duration>,
}

impl Line {
    fn open(address: SocketAddr) -> Result<Self> {
        let mut connection = Connection::open(address)?;
        connection.never_wait()?;
        Ok(Self { connection, due: Vec::new() })
    }

    fn begin(&mut self, call: &Call, due: Duration) -> Result<()> {
        self.due.push(due);
        self.connection.send(call, 1)
    }

    fn receive(&mut self, start: Instant, latencies: &mut Vec<u64>) -> Result<Received> {
        let Self { connection, due } = self;
        connection.receive_each(|place| {
            latencies.push(start.elapsed().saturating_sub(due[place]).as_nanos() as u64);
        })
    }
}
