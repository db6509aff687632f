//! The settings of a concurrency limiter.

use std::time::Duration;

use seawall_propagation::Criticality;

use super::admission::Shares;
use super::algorithm::Algorithm;
use crate::ConfigError;
use crate::config_error::Mistakes;

/// Settings of a [`ConcurrencyLimiter`](super::ConcurrencyLimiter).
#[derive(Debug, Clone, PartialEq)]
pub struct ConcurrencyConfig {
    /// What finds the limit. Default: Gradient2.
    pub algorithm: Algorithm,
    /// The share of the limit that calls of default criticality may use, more than 0 and at most 1;
    /// critical ones may use all of it. Default: 0.9. A tenth is what critical calls usually are of all,
    /// so they find a place at once, and the limit grows by the reserve where nobody critical comes.
    pub default_share: f64,
    /// The share that sheddable calls may use, more than 0 and at most `default_share`. Default: 0.75,
    /// so that they are gone before the queue in the server, about a quarter of the limit, has formed.
    pub sheddable_share: f64,
    /// How many critical calls may wait, as a multiple of the limit, 0 to 100. A queue of `n` limits is
    /// about `n` latencies long. Default: 10, because a critical call would rather be late than lost.
    pub critical_queue: f64,
    /// The same for default calls. Default: 1, which evens out a burst and is no wait for its own sake.
    pub default_queue: f64,
    /// The same for sheddable calls. Default: 0.5.
    pub sheddable_queue: f64,
    /// The longest that a call waits, at most 1 h; shorter if its deadline comes before. Default: 1 s.
    pub wait_max: Duration,
    /// How many streaming calls may be open at a time, at least 1. They do not count against the limit,
    /// which is found from latencies, and a stream has none. Criticalities share this as they share
    /// the limit, and nobody waits. Default: 1,000.
    pub streams_max: u32,
}

impl Default for ConcurrencyConfig {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::default(),
            default_share: 0.9,
            sheddable_share: 0.75,
            critical_queue: 10.0,
            default_queue: 1.0,
            sheddable_queue: 0.5,
            wait_max: Duration::from_secs(1),
            streams_max: 1_000,
        }
    }
}

impl ConcurrencyConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        const QUEUE_MAX: f64 = 100.0;
        const WAIT_MAX: Duration = Duration::from_secs(3_600);
        let mut mistakes = Mistakes::default();
        self.algorithm.check(&mut mistakes);
        let is_share = |share: f64| share > 0.0 && share <= 1.0;
        mistakes.check(is_share(self.default_share), "default_share", self.default_share, "more than 0 and at most 1");
        let is_less = is_share(self.sheddable_share) && self.sheddable_share <= self.default_share;
        let allowed = "more than 0 and at most default_share";
        mistakes.check(is_less, "sheddable_share", self.sheddable_share, allowed);
        for (field, queue) in [
            ("critical_queue", self.critical_queue),
            ("default_queue", self.default_queue),
            ("sheddable_queue", self.sheddable_queue),
        ] {
            mistakes.check((0.0..=QUEUE_MAX).contains(&queue), field, queue, "0 to 100");
        }
        let is_wait = !self.wait_max.is_zero() && self.wait_max <= WAIT_MAX;
        mistakes.check(is_wait, "wait_max", self.wait_max, "more than 0 and at most 1h");
        mistakes.check(self.streams_max > 0, "streams_max", self.streams_max, "at least 1");
        mistakes.into_result()
    }

    /// For calls; streams have no queue.
    pub(super) fn shares(&self, has_queue: bool) -> Shares {
        let mut queues = [0.0; 3];
        if has_queue {
            queues[Criticality::Sheddable as usize] = self.sheddable_queue;
            queues[Criticality::Default as usize] = self.default_queue;
            queues[Criticality::Critical as usize] = self.critical_queue;
        }
        Shares { default_share: self.default_share, sheddable_share: self.sheddable_share, queues }
    }
}
