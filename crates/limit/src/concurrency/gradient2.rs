//! Gradient2: the limit follows the ratio of the long-term latency to the present one (Netflix's
//! concurrency-limits), with a probe that keeps the long-term latency honest (BBR's, Envoy's).

use super::algorithm::{Measured, check_bounds};
use crate::config_error::Mistakes;

/// Windows that a probe measures: with at least ten calls each, enough for a mean that is within a
/// tenth or so even where service times vary as much as their mean.
const PROBE_WINDOWS: u32 = 3;

/// A probe lowers the limit to this share: enough to be rid of the queue, which is a few calls, and so
/// little that even a large server, with no work in its queue then, does a quarter less for a moment.
const PROBE_SHARE: f64 = 0.75;

/// The long-term latency starts as a plain mean of so many windows.
const WARM_UP_WINDOWS: u32 = 10;

/// Settings of Gradient2, which compares means and so fits calls of several kinds together.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradient2Config {
    /// The limit at the start. Default: 20.
    pub limit_initial: u32,
    /// The least limit, at least 1: more than the calls that the server can work on at a time only
    /// adds to their latency. Default: 20.
    pub limit_min: u32,
    /// The greatest limit. Default: 200.
    pub limit_max: u32,
    /// How much of a new limit is taken over at once, more than 0 and at most 1. Default: 0.2.
    pub smoothing: f64,
    /// Calls by which the limit may grow while latency does not: the queue inside the server.
    /// Default: 4.
    pub queue: u32,
    /// Windows over which the long-term latency is smoothed, at least 10. Default: 600.
    pub long_windows: u32,
    /// After so many windows in which the limit kept calls out, it is lowered by a quarter for a moment,
    /// to see the latency without a queue. At least 10. Default: 200.
    pub probe_windows: u32,
}

impl Default for Gradient2Config {
    fn default() -> Self {
        Self {
            limit_initial: 20,
            limit_min: 20,
            limit_max: 200,
            smoothing: 0.2,
            queue: 4,
            long_windows: 600,
            probe_windows: 200,
        }
    }
}

impl Gradient2Config {
    pub(super) fn check(&self, mistakes: &mut Mistakes) {
        check_bounds(mistakes, self.limit_initial, self.limit_min, self.limit_max);
        let is_share = self.smoothing > 0.0 && self.smoothing <= 1.0;
        mistakes.check(is_share, "algorithm.smoothing", self.smoothing, "more than 0 and at most 1");
        mistakes.check(self.queue > 0, "algorithm.queue", self.queue, "at least 1");
        mistakes.check(self.long_windows >= 10, "algorithm.long_windows", self.long_windows, "at least 10");
        mistakes.check(self.probe_windows >= 10, "algorithm.probe_windows", self.probe_windows, "at least 10");
    }
}

/// `gradient = clamp(long/short, 0.5, 1)`, `limit ← (1 − s)·limit + s·(gradient·limit + queue)`.
///
/// - `Following`: as above. A window with less than half of the limit in use changes nothing.
/// - `Following → Draining` after `probe_windows` windows in which the limit kept calls out:
///   [`PROBE_SHARE`] of the limit holds for one window, which is not measured, because its calls began
///   before.
/// - `Draining → Measuring`, for [`PROBE_WINDOWS`] windows at that share of the limit.
/// - `Measuring → Following`: the latency measured becomes the long-term one.
///
/// Without the probe, a server that stays overloaded teaches the long-term latency that its queue is
/// normal, and the limit creeps up for as long as the overload lasts.
#[derive(Debug)]
pub(super) struct Gradient2 {
    config: Gradient2Config,
    limit: f64,
    long: LongTerm,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Following { windows_binding: u32 },
    Draining,
    Measuring { windows: u32, rtts_s: f64 },
}

impl Gradient2 {
    pub(super) fn new(config: Gradient2Config) -> Self {
        let limit = f64::from(config.limit_initial);
        let long = LongTerm { mean_s: 0.0, windows: 0, windows_max: config.long_windows };
        Self { config, limit, long, phase: Phase::Following { windows_binding: 0 } }
    }

    pub(super) fn update(&mut self, measured: &Measured) -> u32 {
        match &mut self.phase {
            Phase::Following { windows_binding } => {
                *windows_binding += u32::from(measured.is_binding);
                if *windows_binding >= self.config.probe_windows {
                    self.phase = Phase::Draining;
                } else {
                    self.follow(measured);
                }
            }
            Phase::Draining => self.phase = Phase::Measuring { windows: 0, rtts_s: 0.0 },
            Phase::Measuring { windows, rtts_s } => {
                *windows += 1;
                *rtts_s += measured.rtt_s;
                if *windows == PROBE_WINDOWS {
                    self.long.restart(*rtts_s / f64::from(PROBE_WINDOWS));
                    self.phase = Phase::Following { windows_binding: 0 };
                }
            }
        }
        match self.phase {
            Phase::Following { .. } => self.limit as u32,
            // Lower than `limit_min`, if need be: what is at work without a queue is the question.
            Phase::Draining | Phase::Measuring { .. } => ((self.limit * PROBE_SHARE) as u32).max(1),
        }
    }

    fn follow(&mut self, measured: &Measured) {
        let short_s = measured.rtt_s;
        let long_s = self.long.add(short_s);
        // The server has recovered from something: believe it sooner than the smoothing would.
        if long_s / short_s > 2.0 {
            self.long.mean_s *= 0.9;
        }
        if f64::from(measured.in_flight_max) < self.limit / 2.0 {
            return;
        }
        let gradient = (long_s / short_s).clamp(0.5, 1.0);
        let wanted = self.limit * gradient + f64::from(self.config.queue);
        let limit = self.limit * (1.0 - self.config.smoothing) + wanted * self.config.smoothing;
        self.limit = limit.clamp(self.config.limit_min.into(), self.config.limit_max.into());
    }
}

/// A mean that is plain at first and exponential later.
#[derive(Debug)]
struct LongTerm {
    mean_s: f64,
    windows: u32,
    windows_max: u32,
}

impl LongTerm {
    fn add(&mut self, rtt_s: f64) -> f64 {
        self.windows = self.windows.saturating_add(1);
        let weight = if self.windows <= WARM_UP_WINDOWS {
            1.0 / f64::from(self.windows)
        } else {
            2.0 / (f64::from(self.windows_max) + 1.0)
        };
        self.mean_s += (rtt_s - self.mean_s) * weight;
        self.mean_s
    }

    /// The mean is `rtt_s` from here on, and smoothed as if it had long been.
    fn restart(&mut self, rtt_s: f64) {
        self.mean_s = rtt_s;
        self.windows = WARM_UP_WINDOWS;
    }
}
