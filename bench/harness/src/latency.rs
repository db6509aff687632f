//! How long calls take that come at a fixed rate, whatever becomes of those before them; and how many there are where
//! each answer is followed by the next call.
//!
//! A call's time begins when it should have been made: if the load or the server falls behind, the calls that wait
//! for it have waited, which is what a load that keeps a number of calls in flight does not see (coordinated
//! omission; Gil Tene, How NOT to Measure Latency).

use std::borrow::Borrow;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::statistics::percentile;
use crate::wire::{Call, Connection, Received, Shape};

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

/// What came of a load.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The times of all calls, those included that were refused.
    pub latencies: Latencies,
    /// Calls that were made, and are all answered.
    pub calls: usize,
    /// Those that were answered without a message.
    pub refused: usize,
    /// From the first call to the last answer.
    pub took: Duration,
    /// The share of that time in which the load had nothing to do: near 0, it measures itself.
    pub idle: f64,
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
    let outcome = at_rate_with(address, || call, connections, per_second, time)?;
    ensure!(outcome.refused == 0, "{} of {} calls were refused", outcome.refused, outcome.calls);
    Ok(outcome.latencies)
}

/// The same with a call of its own each time, and calls may be refused.
///
/// # Errors
/// If a call is not answered, or the server does not keep up.
pub fn at_rate_with<C: Borrow<Call>>(
    address: SocketAddr,
    mut call: impl FnMut() -> C,
    connections: usize,
    per_second: f64,
    time: Duration,
) -> Result<Outcome> {
    ensure!(connections > 0 && per_second > 0.0, "calls need connections and a rate");
    let calls = (per_second * time.as_secs_f64()) as usize;
    let due = |place: usize| Duration::from_secs_f64(place as f64 / per_second);
    let mut load = Load::open(address, connections)?;
    while load.latencies.len() < calls {
        let now = load.start.elapsed();
        let made_before = load.made;
        while load.made < calls && due(load.made) <= now {
            load.begin(load.made % connections, call().borrow(), due(load.made))?;
        }
        let ended = load.receive(|_, _| Ok(()))?;
        if ended == 0 && load.made == made_before {
            load.idle += load.start.elapsed() - now;
        }
        ensure!(load.waiting() <= WAITING_MAX, "{per_second:.0} calls a second are more than it serves");
        ensure!(now < time + PATIENCE, "{} of {calls} calls are never answered", calls - load.latencies.len());
    }
    Ok(load.outcome())
}

/// Keeps as many calls in flight as the shape has, for `time`: each answer is followed by the next call, whose time
/// begins then. It too uses all of the processor that it runs on.
///
/// # Errors
/// If a call is not answered.
pub fn in_flight_with<C: Borrow<Call>>(
    address: SocketAddr,
    mut call: impl FnMut() -> C,
    shape: Shape,
    time: Duration,
) -> Result<Outcome> {
    let mut load = Load::open(address, shape.connections)?;
    for place in 0..shape.connections * shape.streams {
        load.begin(place % shape.connections, call().borrow(), load.start.elapsed())?;
    }
    while load.waiting() > 0 {
        let now = load.start.elapsed();
        let ended = load.receive(|load, line| match now < time {
            true => load.begin(line, call().borrow(), load.start.elapsed()),
            false => Ok(()),
        })?;
        if ended == 0 {
            load.idle += load.start.elapsed() - now;
        }
        ensure!(now < time + PATIENCE, "{} calls are never answered", load.waiting());
    }
    Ok(load.outcome())
}

/// Calls that are made and answered.
struct Load {
    lines: Vec<Line>,
    start: Instant,
    made: usize,
    messages: usize,
    latencies: Vec<u64>,
    idle: Duration,
}

impl Load {
    fn open(address: SocketAddr, connections: usize) -> Result<Self> {
        let lines = (0..connections).map(|_| Line::open(address)).collect::<Result<Vec<_>>>()?;
        let (start, idle) = (Instant::now(), Duration::ZERO);
        Ok(Self { lines, start, made: 0, messages: 0, latencies: Vec::new(), idle })
    }

    fn waiting(&self) -> usize {
        self.made - self.latencies.len()
    }

    fn begin(&mut self, line: usize, call: &Call, due: Duration) -> Result<()> {
        self.made += 1;
        self.lines[line].begin(call, due)
    }

    /// Takes what has come, does `then` for each call that has ended, with the place of its line, and says how many
    /// those are.
    fn receive(&mut self, mut then: impl FnMut(&mut Self, usize) -> Result<()>) -> Result<usize> {
        let mut ended = 0;
        for line in 0..self.lines.len() {
            let received = self.lines[line].receive(self.start, &mut self.latencies)?;
            self.messages += received.messages;
            ended += received.ended;
            for _ in 0..received.ended {
                then(self, line)?;
            }
        }
        Ok(ended)
    }

    fn outcome(mut self) -> Outcome {
        let took = self.start.elapsed();
        self.latencies.sort_unstable();
        Outcome {
            refused: self.made.saturating_sub(self.messages),
            calls: self.made,
            idle: self.idle.div_duration_f64(took),
            latencies: Latencies(self.latencies),
            took,
        }
    }
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
