//! What a breaker shows of itself.

use std::time::Instant;

use serde::Serialize;

use crate::adaptive::Adaptive;
use crate::decision::milliseconds;
use crate::three_state::ThreeState;
use crate::{Forced, State};

/// The state of a breaker at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Snapshot {
    /// Whom the calls go to.
    pub peer: String,
    /// Which calls.
    pub method: String,
    /// Which of its endpoints, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// What it is doing, unless it is forced.
    pub state: State,
    /// What an operator has it do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forced: Option<Forced>,
    /// Calls of the window that count, without those that were refused.
    pub calls: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// Calls refused since it was made.
    pub refused_total: u64,
    /// Transitions since it was made.
    pub transitions_total: u64,
    /// What only the throttle knows.
    #[serde(flatten)]
    pub adaptive: Option<AdaptiveSnapshot>,
    /// What only the three-state breaker knows.
    #[serde(flatten)]
    pub three_state: Option<ThreeStateSnapshot>,
}

/// What only the throttle knows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AdaptiveSnapshot {
    /// Calls of the window that it dropped.
    pub drops: u64,
    /// The chance that the next call is dropped, 0 to less than 1.
    pub drop_probability: f64,
}

/// What only the three-state breaker knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ThreeStateSnapshot {
    /// Calls of the window that were slow.
    pub slow_calls: u64,
    /// Failures since the last success.
    pub consecutive_failures: u32,
    /// Openings in a row, the last one included.
    pub openings: u32,
    /// Probes that are under way.
    pub probes_in_flight: u32,
    /// How long it stays open.
    pub open_remaining_ms: u64,
}

impl Snapshot {
    pub(crate) fn adaptive(self, policy: &Adaptive, now: Instant) -> Self {
        let history = policy.history(now);
        Self {
            state: if policy.is_throttling() { State::Throttling } else { State::Passing },
            calls: history.accepts + history.failures,
            failures: history.failures,
            adaptive: Some(AdaptiveSnapshot { drops: history.drops, drop_probability: history.drop_probability }),
            ..self
        }
    }

    pub(crate) fn three_state(self, policy: &ThreeState, now: Instant) -> Self {
        let numbers = policy.numbers(now);
        Self {
            state: numbers.state,
            calls: numbers.counts.calls,
            failures: numbers.counts.failures,
            three_state: Some(ThreeStateSnapshot {
                slow_calls: numbers.counts.slow_calls,
                consecutive_failures: numbers.counts.consecutive_failures,
                openings: numbers.openings,
                probes_in_flight: numbers.probes_in_flight,
                open_remaining_ms: milliseconds(numbers.open_for),
            }),
            ..self
        }
    }
}
