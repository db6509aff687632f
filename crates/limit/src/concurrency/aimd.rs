//! Additive increase, multiplicative decrease: TCP's way, as in Netflix's concurrency-limits.

use std::time::Duration;

use super::algorithm::{Measured, check_bounds};
use crate::config_error::Mistakes;

/// Settings of AIMD: it knows nothing of queues and fits where a latency is agreed on.
#[derive(Debug, Clone, PartialEq)]
pub struct AimdConfig {
    /// The limit at the start. Default: 20.
    pub limit_initial: u32,
    /// The least limit, at least 1. Default: 20.
    pub limit_min: u32,
    /// The greatest limit. Default: 200.
    pub limit_max: u32,
    /// The factor of a decrease, 0.5 up to but not 1. Default: 0.9.
    pub backoff: f64,
    /// A window whose mean latency is longer decreases the limit, as does one with an overloaded
    /// call. Default: 5 s.
    pub latency_max: Duration,
}

impl Default for AimdConfig {
    fn default() -> Self {
        Self { limit_initial: 20, limit_min: 20, limit_max: 200, backoff: 0.9, latency_max: Duration::from_secs(5) }
    }
}

impl AimdConfig {
    pub(super) fn check(&self, mistakes: &mut Mistakes) {
        check_bounds(mistakes, self.limit_initial, self.limit_min, self.limit_max);
        mistakes.check((0.5..1.0).contains(&self.backoff), "algorithm.backoff", self.backoff, "0.5 up to but not 1");
        mistakes.check(!self.latency_max.is_zero(), "algorithm.latency_max", self.latency_max, "more than 0");
    }
}

/// One more for each good window with at least half of the limit in use, `backoff` times for a bad one.
#[derive(Debug)]
pub(super) struct Aimd {
    config: AimdConfig,
    limit: u32,
}

impl Aimd {
    pub(super) fn new(config: AimdConfig) -> Self {
        let limit = config.limit_initial;
        Self { config, limit }
    }

    pub(super) fn update(&mut self, measured: &Measured) -> u32 {
        if measured.was_overloaded || measured.rtt_s > self.config.latency_max.as_secs_f64() {
            self.limit = (f64::from(self.limit) * self.config.backoff) as u32;
        } else if measured.in_flight_max.saturating_mul(2) >= self.limit {
            self.limit = self.limit.saturating_add(1);
        }
        self.limit = self.limit.clamp(self.config.limit_min, self.config.limit_max);
        self.limit
    }
}
