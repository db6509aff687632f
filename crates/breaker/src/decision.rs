//! What a breaker decides about a call, and how it tells a change of its own state.

use std::time::Duration;

use opentelemetry::KeyValue;
use serde::Serialize;

/// A call that has been let through. It is given back to the breaker with
/// [`record`](crate::Breaker::record), whatever became of the call: a probe's place is taken until
/// then.
#[derive(Debug)]
#[must_use = "a call that is let through is to be recorded"]
pub struct Permit {
    pub(crate) is_counted: bool,
    /// In which stretch of a three-state breaker's life it was given; what comes later is not
    /// influenced by it.
    pub(crate) generation: u64,
    pub(crate) probe: Probe,
    /// The random number of its admission, for the jitter of an opening that it causes.
    pub(crate) random: f64,
}

/// Whether a call is a probe of a half-open breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    No,
    Waiting,
    Answering,
}

impl Permit {
    pub(crate) const fn uncounted() -> Self {
        Self { is_counted: false, generation: 0, probe: Probe::No, random: 0.0 }
    }

    pub(crate) const fn counted(generation: u64, probe: Probe, random: f64) -> Self {
        Self { is_counted: true, generation, probe, random }
    }
}

/// A call that has been refused.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// When a call is likely to be let through, as far as the breaker can tell.
    pub retry_after: Option<Duration>,
}

/// Why a call was refused, with the numbers that caused it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// An operator has forced the breaker open.
    ForcedOpen,
    /// The throttle has dropped it, by chance.
    Throttled {
        /// The chance that it had to be dropped.
        drop_probability: f64,
        /// The calls of the window, those that were dropped included.
        calls: u64,
        /// Those of them that the peer accepted.
        accepts: u64,
    },
    /// The breaker is open.
    Open {
        /// Openings in a row, this one included.
        openings: u32,
    },
    /// The breaker is half-open, and all its probes are under way.
    HalfOpen {
        /// How many calls are under way.
        probes_in_flight: u32,
    },
}

impl Refusal {
    /// The state that refused, as a label.
    pub const fn state(&self) -> &'static str {
        match self.reason {
            Reason::ForcedOpen => "forced_open",
            Reason::Throttled { .. } => "throttling",
            Reason::Open { .. } => "open",
            Reason::HalfOpen { .. } => "half_open",
        }
    }

    /// The numbers that caused it, for a span event.
    pub fn numbers(&self) -> Vec<KeyValue> {
        let mut numbers = vec![KeyValue::new("state", self.state())];
        match self.reason {
            Reason::ForcedOpen => {}
            Reason::Throttled { drop_probability, calls, accepts } => numbers.extend([
                KeyValue::new("drop_probability", drop_probability),
                KeyValue::new("calls", count(calls)),
                KeyValue::new("accepts", count(accepts)),
            ]),
            Reason::Open { openings } => numbers.push(KeyValue::new("openings", i64::from(openings))),
            Reason::HalfOpen { probes_in_flight } => {
                numbers.push(KeyValue::new("probes_in_flight", i64::from(probes_in_flight)));
            }
        }
        if let Some(after) = self.retry_after {
            numbers.push(KeyValue::new("retry_after_ms", count(milliseconds(after))));
        }
        numbers
    }
}

/// What a breaker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// It is switched off.
    Off,
    /// The throttle lets all calls through.
    Passing,
    /// The throttle drops calls.
    Throttling,
    /// The three-state breaker lets all calls through.
    Closed,
    /// The three-state breaker refuses all calls.
    Open,
    /// The three-state breaker lets some probes through.
    HalfOpen,
}

/// A change of state, with the numbers that caused it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Edge {
    Throttling { drop_probability: f64, calls: u64, accepts: u64 },
    Passing { calls: u64, accepts: u64 },
    Opened { cause: Cause, openings: u32, open_for: Duration },
    HalfOpened { openings: u32 },
    Closed { cause: Cause },
}

/// The counts at a change between closed, open and half-open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cause {
    pub(crate) calls: u64,
    pub(crate) failures: u64,
    pub(crate) slow_calls: u64,
    pub(crate) consecutive_failures: u32,
}

impl Edge {
    /// Tells it once: a line in the log, which is an event of the span if there is one, and a count.
    pub(crate) fn tell(&self, peer: &str, method: &str, endpoint: Option<&str>, labels: &[KeyValue]) {
        let decision = match *self {
            Self::Throttling { drop_probability, calls, accepts } => {
                tracing::warn!(
                    peer,
                    method,
                    endpoint,
                    drop_probability,
                    calls,
                    accepts,
                    "breaker begins to drop calls"
                );
                "breaker.throttling"
            }
            Self::Passing { calls, accepts } => {
                tracing::info!(peer, method, endpoint, calls, accepts, "breaker drops no more calls");
                "breaker.passing"
            }
            Self::Opened { cause, openings, open_for } => {
                let Cause { calls, failures, slow_calls, consecutive_failures } = cause;
                let open_ms = milliseconds(open_for);
                tracing::warn!(
                    peer,
                    method,
                    endpoint,
                    calls,
                    failures,
                    slow_calls,
                    consecutive_failures,
                    openings,
                    open_ms,
                    "breaker opened"
                );
                "breaker.opened"
            }
            Self::HalfOpened { openings } => {
                tracing::info!(peer, method, endpoint, openings, "breaker half-open");
                "breaker.half_opened"
            }
            Self::Closed { cause: Cause { calls, failures, slow_calls, .. } } => {
                tracing::info!(peer, method, endpoint, calls, failures, slow_calls, "breaker closed");
                "breaker.closed"
            }
        };
        seawall_provenance::counted(decision, labels);
    }
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn count(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
