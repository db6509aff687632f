//! How long an endpoint takes to answer: an average that jumps up and comes down slowly.
//!
//! Peak-EWMA, as in Finagle's `PeakEwma`: a call that took longer than the estimate becomes the
//! estimate; a faster one pulls it down by the time that has passed since the last. So a slow endpoint
//! is avoided after one slow call, and has to be fast for a while until it is trusted again.

use std::time::{Duration, Instant};

use crate::sync::{AtomicU64, Ordering};

/// An estimate to which nothing was added for this many times its decay says nothing any more.
const STALE_DECAYS: f64 = 5.0;

/// What a call that fails is taken to have taken, where nothing else is known of the endpoint: an
/// endpoint that fails at once must not look like a fast one.
const FAILED_AT_LEAST: Duration = Duration::from_secs(1);

/// The time that an endpoint takes.
///
/// One atomic word holds the estimate and when it was made, so that no reader sees one without the
/// other. The time has steps of 1 ms: of several calls within one step, only a peak counts, which the
/// average does not notice because it is weighted by time. It wraps around after 49 days without a
/// call, when an estimate may be taken for a newer one.
#[derive(Debug)]
pub struct Ewma {
    decay: Duration,
    origin: Instant,
    /// The time in milliseconds since the origin in the upper half, the estimate in microseconds as
    /// an `f32` in the lower one. Zero is no estimate.
    state: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at_ms: u32,
    micros: f32,
}

impl Sample {
    fn unpack(state: u64) -> Option<Self> {
        (state != 0).then_some(Self { at_ms: (state >> 32) as u32, micros: f32::from_bits(state as u32) })
    }

    fn pack(self) -> u64 {
        // Never zero, which is no estimate.
        let micros = self.micros.max(f32::MIN_POSITIVE);
        u64::from(self.at_ms) << 32 | u64::from(micros.to_bits())
    }

    /// Milliseconds from this sample to `at_ms`; zero if another thread was faster to add a later one.
    fn age_ms(self, at_ms: u32) -> u32 {
        u32::try_from(at_ms.wrapping_sub(self.at_ms).cast_signed()).unwrap_or(0)
    }
}

impl Ewma {
    /// No estimate yet. `decay` is the time after which an old estimate weighs 1/e.
    pub fn new(decay: Duration, origin: Instant) -> Self {
        Self { decay, origin, state: AtomicU64::new(0) }
    }

    /// A call took this long to answer.
    pub fn observe(&self, now: Instant, took: Duration) {
        let took = micros(took);
        self.update(now, |last| match last {
            None => took,
            Some((estimate, _)) if took >= estimate => took,
            Some((estimate, weight)) => (f64::from(estimate) * weight + f64::from(took) * (1.0 - weight)) as f32,
        });
    }

    /// A call took this long to fail: that never makes the endpoint look faster.
    pub fn observe_failure(&self, now: Instant, took: Duration) {
        let took_at_least = micros(took.max(FAILED_AT_LEAST));
        let took = micros(took);
        self.update(now, |last| last.map_or(took_at_least, |(estimate, _)| estimate.max(took)));
    }

    /// A call had taken this long, and no answer, when its caller gave it up: that never makes the
    /// endpoint look faster.
    pub fn observe_given_up(&self, now: Instant, took: Duration) {
        let took = micros(took);
        self.update(now, |last| {
            // As much as it weighs now, which is then what it weighs.
            last.map_or(took, |(estimate, weight)| ((f64::from(estimate) * weight) as f32).max(took))
        });
    }

    /// Forgets all calls.
    pub fn reset(&self) {
        self.state.store(0, Ordering::Relaxed);
    }

    /// What a call is likely to take, in microseconds; the longer ago the last call, the less.
    pub fn estimate_us(&self, now: Instant) -> Option<f64> {
        let sample = Sample::unpack(self.state.load(Ordering::Relaxed))?;
        let weight = self.weight(sample, self.at_ms(now))?;
        Some(f64::from(sample.micros) * weight)
    }

    /// `next` is given the last estimate and what it weighs now.
    fn update(&self, now: Instant, next: impl Fn(Option<(f32, f64)>) -> f32) {
        let at_ms = self.at_ms(now);
        let _ = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| {
            let last = Sample::unpack(state);
            let micros = next(last.and_then(|last| Some((last.micros, self.weight(last, at_ms)?))));
            let at_ms = last.map_or(at_ms, |last| last.at_ms.wrapping_add(last.age_ms(at_ms)));
            Some(Sample { at_ms, micros }.pack())
        });
    }

    fn weight(&self, last: Sample, at_ms: u32) -> Option<f64> {
        let decays = f64::from(last.age_ms(at_ms)) / 1e3 / self.decay.as_secs_f64();
        (decays <= STALE_DECAYS).then(|| (-decays).exp())
    }

    fn at_ms(&self, now: Instant) -> u32 {
        now.saturating_duration_since(self.origin).as_millis() as u32
    }
}

fn micros(duration: Duration) -> f32 {
    duration.as_secs_f32() * 1e6
}

#[cfg(all(test, not(seawall_loom)))]
mod tests;
