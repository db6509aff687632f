//! Vegas: the limit follows the number of calls that must be waiting in the server's queues, told
//! from the latency (Brakmo, O'Malley, Peterson 1994; as in Netflix's concurrency-limits).

use super::algorithm::{Measured, check_bounds};
use crate::config_error::Mistakes;

/// Settings of Vegas: it compares with the least latency seen, so it fits calls of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VegasConfig {
    /// The limit at the start. Default: 20.
    pub limit_initial: u32,
    /// The least limit, at least 1. Default: 1.
    pub limit_min: u32,
    /// The greatest limit. Default: 1,000.
    pub limit_max: u32,
    /// The least latency is forgotten after this many windows times the limit, because a server may
    /// become slower for good. Default: 30.
    pub probe_multiplier: u32,
}

impl Default for VegasConfig {
    fn default() -> Self {
        Self { limit_initial: 20, limit_min: 1, limit_max: 1_000, probe_multiplier: 30 }
    }
}

impl VegasConfig {
    pub(super) fn check(&self, mistakes: &mut Mistakes) {
        check_bounds(mistakes, self.limit_initial, self.limit_min, self.limit_max);
        mistakes.check(self.probe_multiplier > 0, "algorithm.probe_multiplier", self.probe_multiplier, "at least 1");
    }
}

/// With a queue of `limit · (1 − least/now)` calls: up quickly while it is at most log₁₀ of the limit,
/// slowly while it is under three times that, down once it is over six times that.
#[derive(Debug)]
pub(super) struct Vegas {
    config: VegasConfig,
    limit: f64,
    rtt_least_s: f64,
    windows_since_probe: u32,
}

impl Vegas {
    pub(super) fn new(config: VegasConfig) -> Self {
        let limit = f64::from(config.limit_initial);
        Self { config, limit, rtt_least_s: f64::INFINITY, windows_since_probe: 0 }
    }

    pub(super) fn update(&mut self, measured: &Measured) -> u32 {
        self.windows_since_probe += 1;
        let is_probe = f64::from(self.windows_since_probe) >= f64::from(self.config.probe_multiplier) * self.limit;
        if is_probe {
            self.windows_since_probe = 0;
        }
        if is_probe || measured.rtt_s < self.rtt_least_s {
            self.rtt_least_s = measured.rtt_s;
        } else {
            self.limit = self.next(measured).clamp(self.config.limit_min.into(), self.config.limit_max.into());
        }
        self.limit as u32
    }

    fn next(&self, measured: &Measured) -> f64 {
        let step = self.limit.log10().floor().max(1.0);
        if measured.was_overloaded {
            return self.limit - step;
        }
        if f64::from(measured.in_flight_max) * 2.0 < self.limit {
            return self.limit;
        }
        let queue = (self.limit * (1.0 - self.rtt_least_s / measured.rtt_s)).ceil();
        match queue {
            queue if queue <= step => self.limit + 6.0 * step,
            queue if queue < 3.0 * step => self.limit + step,
            queue if queue > 6.0 * step => self.limit - step,
            _ => self.limit,
        }
    }
}
