//! Measures the servers in turn, round after round, so that what else the machine does meets all of them alike.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, Result};
use harness::wire::Shape;
use harness::{H2load, Rounds};
use stack::{ANSWER_BYTES, CLIENT_CORE, MESSAGE, PATH, Sampled};

use crate::subjects::{Programs, Server, Subject};

/// Connections, and calls in flight on each.
const SHAPES: [Shape; 3] = [
    Shape { connections: 10, streams: 10 },
    Shape { connections: 50, streams: 1 },
    Shape { connections: 1, streams: 100 },
];
/// How many traces are recorded.
const SAMPLED: [Sampled; 2] = [Sampled::OnePercent, Sampled::All];
/// Calls by which a server is warmed, and which tell how many it answers in a second.
const CALLS_AT_FIRST: usize = 20_000;
/// How long no span comes once those are there that are sent at once; OpenTelemetry's SDK for Go keeps the rest of a
/// batch for five seconds.
const QUIET: Duration = Duration::from_millis(600);

/// What is put on a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Load {
    pub(crate) sampled: Sampled,
    pub(crate) shape: Shape,
}

impl Load {
    /// Every one that is.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        SAMPLED.into_iter().flat_map(|sampled| SHAPES.map(|shape| Self { sampled, shape }))
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.shape, self.sampled.name())
    }
}

/// What is measured at once: a server with a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Run {
    pub(crate) load: Load,
    pub(crate) subject: Subject,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.subject, self.load)
    }
}

/// All that was measured.
#[derive(Debug)]
pub(crate) struct Measurements {
    /// Calls for each second of the server's processor time.
    pub(crate) rounds: Rounds<Run>,
    /// How many of a hundred spans have come, of the servers that sample all calls.
    pub(crate) spans: BTreeMap<Subject, f64>,
}

impl Measurements {
    /// Takes them, each for about as long as `time`.
    pub(crate) fn take(programs: &Programs, subjects: &[Subject], rounds: usize, time: Duration) -> Result<Self> {
        let h2load = H2load::find(PATH, MESSAGE, ANSWER_BYTES, CLIENT_CORE)?;
        let mut running = BTreeMap::new();
        for sampled in SAMPLED {
            for subject in subjects {
                let server = programs.start(*subject, sampled).with_context(|| subject.to_string())?;
                running.insert((sampled, *subject), Running { server, sampled, calls: 0 });
            }
        }
        let mut calls = BTreeMap::new();
        // Servers that are compared come one after the other.
        for run in Load::all().flat_map(|load| subjects.iter().map(move |subject| Run { load, subject: *subject })) {
            let server = running.get_mut(&run.place()).expect("all are started");
            calls.insert(run, server.warm(&h2load, run.load.shape, time).with_context(|| run.to_string())?);
        }
        let runs: Vec<Run> = calls.keys().copied().collect();
        let rounds = Rounds::take(&runs, rounds, |run| {
            running.get_mut(&run.place()).expect("all are started").measure(&h2load, run.load.shape, calls[run])
        })?;
        let mut spans = BTreeMap::new();
        for ((sampled, subject), server) in running {
            let arrived = server.end().with_context(|| subject.to_string())?;
            if sampled == Sampled::All {
                spans.insert(subject, arrived);
            }
        }
        Ok(Self { rounds, spans })
    }
}

impl Run {
    /// Which of the servers that run it is.
    fn place(self) -> (Sampled, Subject) {
        (self.load.sampled, self.subject)
    }
}

/// A server that runs, and how many calls it has answered.
struct Running {
    server: Server,
    sampled: Sampled,
    calls: u64,
}

impl Running {
    /// How many calls make a measurement of this time.
    fn warm(&mut self, h2load: &H2load, shape: Shape, time: Duration) -> Result<usize> {
        let took = self.call(h2load, shape, CALLS_AT_FIRST)?;
        let calls = (CALLS_AT_FIRST as f64 * time.div_duration_f64(took)) as usize;
        Ok(calls.max(shape.connections * shape.streams))
    }

    /// Calls for each second of its processor time, what it exports included.
    fn measure(&mut self, h2load: &H2load, shape: Shape, calls: usize) -> Result<f64> {
        let before = self.server.process.cpu_time()?;
        self.call(h2load, shape, calls)?;
        if self.sampled == Sampled::All {
            self.server.collector.settle_within(self.calls, QUIET)?;
        }
        let used = self.server.process.cpu_time()?.saturating_sub(before);
        Ok(calls as f64 / used.as_secs_f64())
    }

    fn call(&mut self, h2load: &H2load, shape: Shape, calls: usize) -> Result<Duration> {
        self.calls += calls as u64;
        h2load.call(self.server.address, shape, calls)
    }

    /// Has the server end, which sends the spans that are left, and says how many of a hundred have come.
    fn end(self) -> Result<f64> {
        let Server { process, mut collector, .. } = self.server;
        process.end()?;
        Ok(100.0 * collector.settle(self.calls)? as f64 / self.calls as f64)
    }
}
