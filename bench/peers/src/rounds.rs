//! Measures the servers in turn, round after round, so that what else the machine does meets all of them alike.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use harness::wire::Shape;
use stack::Sampled;

use crate::h2load::H2load;
use crate::subjects::{Programs, Server, Subject};

/// Connections, and calls in flight on each.
pub(crate) const SHAPES: [Shape; 3] = [
    Shape { connections: 10, streams: 10 },
    Shape { connections: 50, streams: 1 },
    Shape { connections: 1, streams: 100 },
];
/// How many traces are recorded.
pub(crate) const SAMPLED: [Sampled; 2] = [Sampled::OnePercent, Sampled::All];

/// Calls by which a server is warmed, and from which it is told how many it answers in a second.
const CALLS_AT_FIRST: usize = 20_000;

/// What was measured of a server with one load.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) subject: Subject,
    pub(crate) shape: Shape,
    pub(crate) sampled: Sampled,
    /// Calls for each second of the server's processor time, a round.
    pub(crate) per_cpu_second: Vec<f64>,
    /// Calls for each second of time, a round.
    pub(crate) per_second: Vec<f64>,
}

/// How many spans have come of how many calls that were sampled, in all rounds and with all loads.
#[derive(Debug)]
pub(crate) struct Spans {
    pub(crate) subject: Subject,
    pub(crate) arrived: u64,
    pub(crate) calls: u64,
}

/// All that was measured.
#[derive(Debug)]
pub(crate) struct Measurements {
    pub(crate) series: Vec<Series>,
    /// Where all traces are recorded.
    pub(crate) spans: Vec<Spans>,
}

impl Measurements {
    /// Takes them, each for about as long as `time`.
    pub(crate) fn take(programs: &Programs, subjects: &[Subject], rounds: usize, time: Duration) -> Result<Self> {
        let h2load = H2load::find()?;
        let mut series = Vec::new();
        let mut spans = Vec::new();
        for sampled in SAMPLED {
            let mut running = Vec::new();
            for subject in subjects {
                running.push(Running::start(programs, *subject, sampled).with_context(|| subject.to_string())?);
            }
            for shape in SHAPES {
                let mut measured =
                    running.iter_mut().map(|running| running.warm(&h2load, shape, time)).collect::<Result<Vec<_>>>()?;
                for round in 0..rounds {
                    eprintln!("{shape}, {} % sampled: round {} of {rounds}", sampled.name(), round + 1);
                    // Whoever comes first comes last in the next round.
                    for turn in 0..running.len() {
                        let place = (turn + round) % running.len();
                        running[place].measure(&h2load, &mut measured[place])?;
                    }
                }
                series.extend(measured.into_iter().map(|measuring| measuring.series));
            }
            for running in running {
                let ended = running.end()?;
                if matches!(sampled, Sampled::All) {
                    spans.push(ended);
                }
            }
        }
        Ok(Self { series, spans })
    }
}

/// A server that runs, and how many calls it has answered.
struct Running {
    subject: Subject,
    sampled: Sampled,
    server: Server,
    calls: u64,
}

/// A series that grows, and how many calls a measurement makes.
struct Measuring {
    series: Series,
    calls: usize,
}

impl Running {
    fn start(programs: &Programs, subject: Subject, sampled: Sampled) -> Result<Self> {
        Ok(Self { subject, sampled, server: programs.start(subject, sampled)?, calls: 0 })
    }

    /// Finds out how many calls make a measurement of this time.
    fn warm(&mut self, h2load: &H2load, shape: Shape, time: Duration) -> Result<Measuring> {
        let (took, _) = self.load(h2load, shape, CALLS_AT_FIRST)?;
        let calls = (CALLS_AT_FIRST as f64 * time.div_duration_f64(took)) as usize;
        let Self { subject, sampled, .. } = *self;
        let series = Series { subject, shape, sampled, per_cpu_second: Vec::new(), per_second: Vec::new() };
        Ok(Measuring { series, calls: calls.max(shape.connections * shape.streams) })
    }

    fn measure(&mut self, h2load: &H2load, measuring: &mut Measuring) -> Result<()> {
        let (took, cpu) = self.load(h2load, measuring.series.shape, measuring.calls)?;
        measuring.series.per_second.push(measuring.calls as f64 / took.as_secs_f64());
        measuring.series.per_cpu_second.push(measuring.calls as f64 / cpu.as_secs_f64());
        Ok(())
    }

    /// The time that the calls took, and the server's processor time in it.
    fn load(&mut self, h2load: &H2load, shape: Shape, calls: usize) -> Result<(Duration, Duration)> {
        let (since, cpu_before) = (Instant::now(), self.server.process.cpu_time()?);
        h2load.call(self.server.address, shape, calls).with_context(|| self.subject.to_string())?;
        self.calls += calls as u64;
        Ok((since.elapsed(), self.server.process.cpu_time()?.saturating_sub(cpu_before)))
    }

    /// Has the server end, which sends the spans that are left, and counts them.
    fn end(self) -> Result<Spans> {
        let Server { process, mut collector, .. } = self.server;
        process.end().with_context(|| self.subject.to_string())?;
        Ok(Spans { subject: self.subject, arrived: collector.settle(self.calls)?, calls: self.calls })
    }
}
