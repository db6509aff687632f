//! Shedding while the processor is busy: what the process can serve then is what it has served.
//!
//! After go-zero's adaptive shedder. It needs no latency to rise first, and sees what a limit on
//! concurrency does not: work that costs a processor and not time.

mod cpu;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use seawall_error::{Code, Error, SEAWALL};
use seawall_propagation::Criticality;
use seawall_window::{BUCKETS_MAX, WIDTH_MAX, WIDTH_MIN, Window};
use serde::Serialize;

pub use cpu::{CpuLoad, CpuSampler};

use crate::ConfigError;
use crate::config_error::Mistakes;

const SERVED: usize = 0;
const LATENCIES_US: usize = 1;

/// How much of the average of the calls in flight stays when a call ends (go-zero's β).
const AVERAGE_KEPT: f64 = 0.9;

/// However busy the processor is, so much of what it has served is let in.
const SHARE_MIN: f64 = 0.1;

/// Sheddable calls are let in up to this share of what others are.
const SHEDDABLE_SHARE: f64 = 0.75;

/// A latency that lets everybody in while none is known.
const LATENCY_UNKNOWN: Duration = Duration::from_secs(1);

const COOL_OFF_MAX: Duration = Duration::from_secs(3_600);

/// Never is as good as long ago.
const NEVER: u64 = u64::MAX;

/// Settings of a [`CpuShedder`].
#[derive(Debug, Clone, PartialEq)]
pub struct CpuShedderConfig {
    /// The load at which shedding begins, 1 being all processors that the process may use: more than 0
    /// and less than 1. Default: 0.9.
    pub cpu_max: f64,
    /// The buckets in which calls are counted, 1 to 1,023, and the width of each, 1 ms to 1 h.
    /// Default: 50 of 100 ms.
    pub buckets: usize,
    /// See `buckets`.
    pub width_of_bucket: Duration,
    /// How long after the last high load calls are still shed, once some have been: more than 0, at most
    /// 1 h. Default: 1 s.
    pub cool_off: Duration,
}

impl Default for CpuShedderConfig {
    fn default() -> Self {
        Self {
            cpu_max: 0.9,
            buckets: 50,
            width_of_bucket: Duration::from_millis(100),
            cool_off: Duration::from_secs(1),
        }
    }
}

impl CpuShedderConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let mut mistakes = Mistakes::default();
        let is_share = self.cpu_max > 0.0 && self.cpu_max < 1.0;
        mistakes.check(is_share, "cpu_max", self.cpu_max, "more than 0 and less than 1");
        mistakes.check((1..BUCKETS_MAX).contains(&self.buckets), "buckets", self.buckets, "1 to 1023");
        let is_width = (WIDTH_MIN..=WIDTH_MAX).contains(&self.width_of_bucket);
        mistakes.check(is_width, "width_of_bucket", self.width_of_bucket, "1ms to 1h");
        let is_time = !self.cool_off.is_zero() && self.cool_off <= COOL_OFF_MAX;
        mistakes.check(is_time, "cool_off", self.cool_off, "more than 0 and at most 1h");
        mistakes.into_result()
    }
}

/// Sheds calls while the processor is busy and more are in flight than it has ever served at a time.
///
/// - `Cool`: everybody is let in.
/// - `Cool → Hot` when the load reaches `cpu_max`.
/// - `Hot`: a call is refused if both the calls in flight and their average are over
///   `most served in a bucket · buckets a second · least mean latency`, times what is left of the
///   processor (at least a tenth). Critical calls are let in all the same: what refuses them is the
///   limit on concurrency.
/// - `Hot → Cool` when the load is lower, for `cool_off` longer if calls have been refused.
#[derive(Debug)]
pub struct CpuShedder {
    config: CpuShedderConfig,
    window: Window<2>,
    origin: Instant,
    in_flight: AtomicU32,
    in_flight_average: AtomicU64,
    /// Milliseconds from the origin to when the load was last high.
    busy_at_ms: AtomicU64,
    has_shed: AtomicBool,
    refused: AtomicU64,
}

impl CpuShedder {
    /// A shedder with nothing in flight.
    ///
    /// # Errors
    /// If settings are out of bounds: all of those that are.
    pub fn try_new(config: CpuShedderConfig, now: Instant) -> Result<Self, ConfigError> {
        config.check()?;
        // One more, because the present bucket has not counted all of its calls yet.
        let window = Window::try_new(config.width_of_bucket, config.buckets + 1, now);
        Ok(Self {
            window: window.expect("the bounds are those of the window"),
            config,
            origin: now,
            in_flight: AtomicU32::new(0),
            in_flight_average: AtomicU64::new(0f64.to_bits()),
            busy_at_ms: AtomicU64::new(NEVER),
            has_shed: AtomicBool::new(false),
            refused: AtomicU64::new(0),
        })
    }

    /// The settings it was made of.
    pub fn config(&self) -> &CpuShedderConfig {
        &self.config
    }

    /// Lets a unary call in and counts it as in flight. `cpu_load` is 1 when all processors that the
    /// process may use are busy.
    ///
    /// # Errors
    /// If it is shed.
    pub fn try_admit(
        self: &Arc<Self>,
        now: Instant,
        cpu_load: f64,
        criticality: Criticality,
    ) -> Result<CpuPermit, CpuShed> {
        self.check(now, cpu_load, criticality)?;
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Ok(CpuPermit { shedder: Arc::clone(self), started: now })
    }

    /// Lets a streaming call in, which is not counted: how long a stream is open says nothing of what
    /// the process can serve.
    ///
    /// # Errors
    /// If it is shed.
    pub fn check(&self, now: Instant, cpu_load: f64, criticality: Criticality) -> Result<(), CpuShed> {
        if !self.is_hot(now, cpu_load) {
            return Ok(());
        }
        let share = match criticality {
            Criticality::Critical => return Ok(()),
            Criticality::Default => 1.0,
            Criticality::Sheddable => SHEDDABLE_SHARE,
        };
        let in_flight_max = self.in_flight_max(now, cpu_load) * share;
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        if f64::from(in_flight) <= in_flight_max || self.average() <= in_flight_max {
            return Ok(());
        }
        let is_first = !self.has_shed.swap(true, Ordering::Relaxed);
        self.refused.fetch_add(1, Ordering::Relaxed);
        Err(CpuShed { criticality, cpu_load, in_flight, in_flight_max, retry_after: self.config.cool_off, is_first })
    }

    /// What it knows, for people.
    pub fn snapshot(&self, now: Instant, cpu_load: f64) -> CpuShedderSnapshot {
        CpuShedderSnapshot {
            cpu_load,
            cpu_max: self.config.cpu_max,
            is_shedding: self.has_shed.load(Ordering::Relaxed),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            in_flight_average: self.average(),
            in_flight_max: self.in_flight_max(now, cpu_load),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    fn is_hot(&self, now: Instant, cpu_load: f64) -> bool {
        let now_ms = now.saturating_duration_since(self.origin).as_millis() as u64;
        if cpu_load >= self.config.cpu_max {
            self.busy_at_ms.store(now_ms, Ordering::Relaxed);
            return true;
        }
        if !self.has_shed.load(Ordering::Relaxed) {
            return false;
        }
        let busy_at_ms = self.busy_at_ms.load(Ordering::Relaxed);
        let is_cooling = u128::from(now_ms.saturating_sub(busy_at_ms)) < self.config.cool_off.as_millis();
        if !is_cooling {
            self.has_shed.store(false, Ordering::Relaxed);
        }
        is_cooling
    }

    /// What may be in flight by Little's law, times what is left of the processor.
    fn in_flight_max(&self, now: Instant, cpu_load: f64) -> f64 {
        let (mut served_max, mut latency_least_us) = (1, LATENCY_UNKNOWN.as_micros() as f64);
        for bucket in self.window.buckets(now).skip(1).filter(|bucket| bucket[SERVED] > 0) {
            served_max = served_max.max(bucket[SERVED]);
            latency_least_us = latency_least_us.min(bucket[LATENCIES_US] as f64 / bucket[SERVED] as f64);
        }
        let per_second = served_max as f64 / self.config.width_of_bucket.as_secs_f64();
        let left = (1.0 - cpu_load) / (1.0 - self.config.cpu_max);
        (per_second * latency_least_us / 1e6).max(1.0) * left.clamp(SHARE_MIN, 1.0)
    }

    fn average(&self) -> f64 {
        f64::from_bits(self.in_flight_average.load(Ordering::Relaxed))
    }
}

/// A call that was let in. Dropping it ends the call, and teaches nothing of its latency.
#[derive(Debug)]
#[must_use = "the call has ended when the permit is dropped"]
pub struct CpuPermit {
    shedder: Arc<CpuShedder>,
    started: Instant,
}

impl CpuPermit {
    /// The call has been served.
    pub fn served(self, now: Instant) {
        let latency = now.saturating_duration_since(self.started);
        self.shedder.window.add(now, SERVED, 1);
        // Rounded up: a call that takes no time would leave no room for any.
        self.shedder.window.add(now, LATENCIES_US, (latency.as_micros() as u64).max(1));
    }
}

impl Drop for CpuPermit {
    fn drop(&mut self) {
        let left = f64::from(self.shedder.in_flight.fetch_sub(1, Ordering::Relaxed) - 1);
        let average = |bits| (f64::from_bits(bits) * AVERAGE_KEPT + left * (1.0 - AVERAGE_KEPT)).to_bits();
        self.shedder.in_flight_average.update(Ordering::Relaxed, Ordering::Relaxed, average);
    }
}

/// The refusal of a call, with the state that caused it.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("the load is {cpu_load:.2}; {in_flight} calls are in flight, and {in_flight_max:.1} may be")]
pub struct CpuShed {
    /// Of the call.
    pub criticality: Criticality,
    /// 1 being all processors that the process may use.
    pub cpu_load: f64,
    /// Calls that are being served.
    pub in_flight: u32,
    /// How many may be, of this criticality.
    pub in_flight_max: f64,
    /// When it may be worth coming back: not before the cool-off is over.
    pub retry_after: Duration,
    /// Whether shedding has begun with this call.
    pub is_first: bool,
}

impl From<CpuShed> for Error {
    fn from(shed: CpuShed) -> Self {
        SEAWALL
            .error(Code::Unavailable, "OVERLOADED", "the service has as many calls as it can serve in time")
            .with_retry_after(shed.retry_after)
    }
}

/// What a [`CpuShedder`] knows at a moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CpuShedderSnapshot {
    /// 1 being all processors that the process may use.
    pub cpu_load: f64,
    /// The load at which shedding begins.
    pub cpu_max: f64,
    /// Whether calls have been refused since the load was last low.
    pub is_shedding: bool,
    /// Unary calls in flight.
    pub in_flight: u32,
    /// Their average over the last ones that ended.
    pub in_flight_average: f64,
    /// How many may be in flight while the load is high.
    pub in_flight_max: f64,
    /// Calls refused since the start.
    pub refused: u64,
}

#[cfg(test)]
mod tests;
