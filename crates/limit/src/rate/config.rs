//! The settings of a rate limit.

use std::time::{Duration, Instant};

use crate::ConfigError;
use crate::config_error::Mistakes;
use crate::gcra::Gcra;

/// Above this a bucket per process says nothing that its machine would not say first.
const RATE_MAX: f64 = 1_000_000.0;
/// How long an empty bucket may take to fill.
const FILL_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
const KEYS_MAX: u32 = 1_000_000;
const QUEUE_MAX: u32 = 10_000;
const GRACE_MAX: Duration = Duration::from_secs(10);

/// What a rate limit is.
#[derive(Debug, Clone, PartialEq)]
pub struct RateConfig {
    /// Calls a second, for each key. More than 0, at most 1,000,000.
    pub rate_per_second: f64,
    /// Calls that may pass at once after a pause. At least 1, and as many as come in 30 days.
    pub burst: u32,
    /// What becomes of calls above the rate.
    pub kind: RateKind,
    /// What calls are told apart by; all of it together. Nothing: all calls share one bucket.
    pub key: Vec<Key>,
    /// How many keys are known at once: one and a half times as many as are expected. 1 to 1,000,000;
    /// each takes 16 bytes, from the start.
    pub keys_max: u32,
    /// Whether the limit holds over all replicas, by the [`Store`](crate::Store) they share.
    pub shared: bool,
    /// How late a caller may come that was told when to: its way to us and back. At most 10 s.
    /// Callers that never come back cost the tokens of this time once, before others get them.
    pub grace: Duration,
}

impl Default for RateConfig {
    /// A hundred calls a second and method, with bursts of a hundred.
    fn default() -> Self {
        Self {
            rate_per_second: 100.0,
            burst: 100,
            kind: RateKind::TokenBucket,
            key: vec![Key::Method],
            keys_max: 10_000,
            shared: false,
            grace: Duration::from_millis(100),
        }
    }
}

/// What becomes of calls above the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateKind {
    /// They are refused.
    TokenBucket,
    /// They wait for their turn, if it comes in time.
    LeakyBucket {
        /// How many calls of a key may wait at once. 1 to 10,000.
        queue_max: u32,
    },
}

/// What calls are told apart by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// The method, by its path.
    Method,
    /// Who makes the call, where that is known: a [`Caller`](seawall_propagation::Caller) in the request's
    /// extensions. Otherwise the address that the connection comes from ([`peer`](seawall_propagation::peer)):
    /// one IPv4 address, or one /64 of IPv6, which is what one caller has. A header would be for the caller
    /// to choose.
    Caller,
    /// The value of a metadata key, such as `x-tenant`. Calls without it share a bucket.
    Metadata(String),
}

impl RateConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// With all mistakes at once.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut mistakes = Mistakes::default();
        let rate = self.rate_per_second;
        let is_rate = rate > 0.0 && rate <= RATE_MAX;
        mistakes.check(is_rate, "rate_per_second", rate, "more than 0 and at most 1000000");
        mistakes.check(self.burst >= 1, "burst", self.burst, "at least 1");
        let fills = !is_rate || f64::from(self.burst) / rate <= FILL_MAX.as_secs_f64();
        mistakes.check(fills, "burst", self.burst, "what comes within 30 days at this rate");
        if let RateKind::LeakyBucket { queue_max } = self.kind {
            mistakes.check((1..=QUEUE_MAX).contains(&queue_max), "kind.queue_max", queue_max, "1 to 10000");
            let drains = !is_rate || f64::from(queue_max) / rate <= FILL_MAX.as_secs_f64();
            mistakes.check(drains, "kind.queue_max", queue_max, "what drains within 30 days at this rate");
        }
        for key in &self.key {
            if let Key::Metadata(name) = key {
                let is_name = http::HeaderName::try_from(name).is_ok_and(|parsed| parsed.as_str() == name);
                mistakes.check(is_name, "key.metadata", name, "the name of a metadata key, in lower case");
            }
        }
        mistakes.check((1..=KEYS_MAX).contains(&self.keys_max), "keys_max", self.keys_max, "1 to 1000000");
        mistakes.check(self.grace <= GRACE_MAX, "grace", self.grace, "at most 10s");
        mistakes.into_result()
    }

    pub(crate) fn queue_max(&self) -> u32 {
        match self.kind {
            RateKind::TokenBucket => 0,
            RateKind::LeakyBucket { queue_max } => queue_max,
        }
    }

    /// The arithmetic of a checked configuration.
    pub(crate) fn gcra(&self, origin: Instant) -> Gcra {
        Gcra::new(self.rate_per_second, self.burst, self.queue_max(), self.grace, origin)
    }
}
