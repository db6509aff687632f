//! An observed percentile: a small log-linear histogram that forgets.

use std::time::{Duration, Instant};

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Each power of two is cut into 2³ buckets, so that a bucket is at most 12.5 % wide.
const SUB_BITS: u32 = 3;
const SUBS: usize = 1 << SUB_BITS;
/// What takes longer than 2²⁷ µs (134 s) counts as that.
const MICROS_MAX: u64 = (1 << 27) - 1;
const BUCKETS: usize = 200;

/// How often the percentile is computed anew. In between it is one load.
const REFRESH: Duration = Duration::from_millis(100);
/// After how many refreshes all counts are halved: 10 s.
const REFRESHES_PER_HALVING: u64 = 100;
/// With fewer samples a percentile says nothing. A method that is called five times a second keeps
/// as many.
const SAMPLES_MIN: u64 = 100;

/// Latencies of about the last twenty seconds, and a percentile of them.
///
/// Lock-free. A sample that comes while the counts are being halved may be halved too, or not.
#[derive(Debug)]
pub(crate) struct Latency {
    origin: Instant,
    percentile: f64,
    buckets: [AtomicU32; BUCKETS],
    refreshes: AtomicU64,
    /// In µs; 0 is none.
    estimate: AtomicU64,
}

impl Latency {
    pub(crate) fn new(percentile: f64, now: Instant) -> Self {
        Self {
            origin: now,
            percentile,
            buckets: std::array::from_fn(|_| AtomicU32::new(0)),
            refreshes: AtomicU64::new(0),
            estimate: AtomicU64::new(0),
        }
    }

    /// The percentile, rounded up to its bucket. `None` until there are enough samples.
    pub(crate) fn estimate(&self) -> Option<Duration> {
        match self.estimate.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(micros)),
        }
    }

    pub(crate) fn observe(&self, now: Instant, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.buckets[index(micros)].fetch_add(1, Ordering::Relaxed);
        let age = now.saturating_duration_since(self.origin);
        let refresh = (age.as_millis() / REFRESH.as_millis()) as u64;
        let last = self.refreshes.load(Ordering::Relaxed);
        // One of those who come refreshes, and the others go on.
        if refresh > last
            && self.refreshes.compare_exchange(last, refresh, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.halve(refresh / REFRESHES_PER_HALVING - last / REFRESHES_PER_HALVING);
            self.estimate.store(self.compute().unwrap_or(0), Ordering::Relaxed);
        }
    }

    fn halve(&self, times: u64) {
        if times == 0 {
            return;
        }
        for bucket in &self.buckets {
            let count = bucket.load(Ordering::Relaxed);
            let kept = count.checked_shr(times.min(64) as u32).unwrap_or(0);
            bucket.fetch_sub(count - kept, Ordering::Relaxed);
        }
    }

    fn compute(&self) -> Option<u64> {
        let counts = self.buckets.iter().map(|bucket| u64::from(bucket.load(Ordering::Relaxed)));
        let total: u64 = counts.clone().sum();
        if total < SAMPLES_MIN {
            return None;
        }
        let rank = (self.percentile * total as f64).ceil() as u64;
        let mut below = 0;
        counts
            .enumerate()
            .find(|(_, count)| {
                below += count;
                below >= rank
            })
            .map(|(index, _)| upper(index))
    }
}

fn index(micros: u64) -> usize {
    let micros = micros.clamp(1, MICROS_MAX);
    if micros < SUBS as u64 {
        return micros as usize;
    }
    let shift = micros.ilog2() - SUB_BITS;
    (shift as usize + 1) * SUBS + (micros >> shift) as usize % SUBS
}

/// The longest latency of a bucket, in µs.
fn upper(index: usize) -> u64 {
    if index < SUBS {
        return index as u64;
    }
    let shift = index / SUBS - 1;
    ((SUBS + index % SUBS + 1) << shift) as u64 - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_cover_everything_without_a_gap() {
        let mut last = 0;
        for index_of in 1..BUCKETS {
            assert_eq!(index(upper(index_of)), index_of);
            assert_eq!(index(upper(index_of - 1) + 1), index_of);
            assert!(upper(index_of) > last);
            last = upper(index_of);
        }
        assert_eq!(last, MICROS_MAX);
        assert_eq!(index(u64::MAX), BUCKETS - 1);
    }

    proptest! {
        #[test]
        fn the_estimate_is_the_percentile_within_an_eighth(mut micros in prop::collection::vec(1u64..5_000_000, 100..400)) {
            let start = Instant::now();
            let latency = Latency::new(0.95, start);
            for sample in &micros {
                latency.observe(start, Duration::from_micros(*sample));
            }
            let last = micros[0];
            latency.observe(start + REFRESH, Duration::from_micros(last));
            micros.push(last);
            micros.sort_unstable();
            let exact = micros[(0.95 * micros.len() as f64).ceil() as usize - 1];
            let estimate = latency.estimate().unwrap().as_micros() as u64;
            prop_assert!(exact <= estimate && estimate <= exact + exact / 8 + 1, "{exact} {estimate}");
        }
    }

    #[test]
    fn what_was_slow_is_forgotten() {
        let start = Instant::now();
        let latency = Latency::new(0.95, start);
        let feed = |seconds: std::ops::Range<u64>, ms| {
            for tick in seconds.start * 100..seconds.end * 100 {
                latency.observe(start + Duration::from_millis(tick * 10), Duration::from_millis(ms));
            }
        };
        feed(0..10, 800);
        assert!(latency.estimate().unwrap() >= Duration::from_millis(800));
        feed(10..80, 10);
        assert!(latency.estimate().unwrap() < Duration::from_millis(12));
        // Ten minutes later nothing is left of it.
        latency.observe(start + Duration::from_secs(700), Duration::from_millis(10));
        assert_eq!(latency.estimate(), None);
    }
}
