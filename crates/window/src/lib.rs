//! Counts over the last seconds, in buckets of atomics.
//!
//! A [`Window`] is a ring of buckets, each with a fixed number of counters. It has no clock: it is
//! told the time. Writers and readers share it without a lock.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use seawall_window::Window;
//!
//! const SERVED: usize = 0;
//! const FAILED: usize = 1;
//!
//! let start = Instant::now();
//! let window = Window::<2>::try_new(Duration::from_millis(250), 40, start)?;
//! window.add(start, SERVED, 1);
//! window.add(start + Duration::from_secs(5), FAILED, 2);
//! assert_eq!(window.sum(start + Duration::from_secs(5)), [1, 2]);
//! assert_eq!(window.sum(start + Duration::from_secs(11)), [0, 2]);
//! # Ok::<(), seawall_window::ConfigError>(())
//! ```
//!
//! # Structure
//! `lib.rs` is the window, `cell.rs` one counter of one bucket, `sync.rs` the atomics.

mod cell;
mod sync;

use std::time::{Duration, Instant};

use cell::Cell;

/// The most buckets that a window may have: a sum reads all of them.
pub const BUCKETS_MAX: usize = 1_024;

/// The narrowest bucket. Narrower ones would be summed more often than written to.
pub const WIDTH_MIN: Duration = Duration::from_millis(1);

/// The widest bucket.
pub const WIDTH_MAX: Duration = Duration::from_secs(3_600);

/// Counts of events in the newest `buckets` buckets of time, the current one included.
///
/// - A sum covers more than `buckets - 1` and at most `buckets` widths.
/// - No event is lost between threads. A sum taken while others add sees each counter at one moment,
///   and two counters at moments that may differ.
/// - An event with an older `now` is counted in its own bucket, unless a newer event has already
///   taken the place of that bucket: then it is too old to matter.
/// - A counter of a bucket stops at 2³² − 1.
#[derive(Debug)]
pub struct Window<const COUNTERS: usize> {
    buckets: Box<[[Cell; COUNTERS]]>,
    width_ns: u64,
    origin: Instant,
}

/// Why a window cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The width of a bucket is out of bounds.
    #[error("width_of_bucket = {0:?}: must be {WIDTH_MIN:?} to {WIDTH_MAX:?}")]
    Width(Duration),
    /// The number of buckets is out of bounds.
    #[error("buckets = {0}: must be 1 to {BUCKETS_MAX}")]
    Buckets(usize),
}

impl<const COUNTERS: usize> Window<COUNTERS> {
    /// An empty window. Time before `origin` counts as `origin`.
    ///
    /// # Errors
    /// If the width is not [`WIDTH_MIN`] to [`WIDTH_MAX`], or the number of buckets not 1 to
    /// [`BUCKETS_MAX`].
    pub fn try_new(width_of_bucket: Duration, buckets: usize, origin: Instant) -> Result<Self, ConfigError> {
        const { assert!(COUNTERS > 0, "a window without counters counts nothing") };
        if !(WIDTH_MIN..=WIDTH_MAX).contains(&width_of_bucket) {
            return Err(ConfigError::Width(width_of_bucket));
        }
        if !(1..=BUCKETS_MAX).contains(&buckets) {
            return Err(ConfigError::Buckets(buckets));
        }
        let buckets = (0..buckets).map(|_| std::array::from_fn(|_| Cell::default())).collect();
        Ok(Self { buckets, width_ns: nanoseconds(width_of_bucket), origin })
    }

    /// Adds `n` to a counter of the bucket of `now`. Lock-free.
    ///
    /// # Panics
    /// If `counter` is not less than `COUNTERS`.
    pub fn add(&self, now: Instant, counter: usize, n: u64) {
        let (slot, lap) = self.place(self.tick(now));
        self.buckets[slot][counter].add(lap, n);
    }

    /// The sums of all counters over the window that ends with the bucket of `now`. Wait-free.
    pub fn sum(&self, now: Instant) -> [u64; COUNTERS] {
        self.buckets(now).fold([0; COUNTERS], |sums, bucket| std::array::from_fn(|i| sums[i] + bucket[i]))
    }

    /// The counters of each bucket, the current one first: as many as there are buckets, also before
    /// that much time has passed.
    pub fn buckets(&self, now: Instant) -> impl Iterator<Item = [u64; COUNTERS]> {
        let tick = self.tick(now);
        let (mut slot, mut lap) = self.place(tick);
        (0..self.buckets.len() as u64).map(move |age| {
            if age > tick {
                return [0; COUNTERS];
            }
            let bucket = &self.buckets[slot];
            let counts = std::array::from_fn(|counter| bucket[counter].get(lap));
            // One step back in the ring, without a division for each.
            (slot, lap) = match slot {
                0 => (self.buckets.len() - 1, lap.wrapping_sub(1)),
                _ => (slot - 1, lap),
            };
            counts
        })
    }

    /// Forgets all events. One that is added at the same time may stay.
    pub fn clear(&self) {
        self.buckets.iter().flatten().for_each(Cell::clear);
    }

    /// The time that the window covers: the width of a bucket times their number.
    pub fn span(&self) -> Duration {
        Duration::from_nanos(self.width_ns.saturating_mul(self.buckets.len() as u64))
    }

    /// How many widths have passed since the origin.
    fn tick(&self, now: Instant) -> u64 {
        nanoseconds(now.saturating_duration_since(self.origin)) / self.width_ns
    }

    /// The bucket that a tick falls into, and how often the ring has been gone around until then.
    fn place(&self, tick: u64) -> (usize, u32) {
        let length = self.buckets.len() as u64;
        // Both fit: the slot is less than the length, and laps are meant to wrap around.
        ((tick % length) as usize, (tick / length) as u32)
    }
}

/// Up to 584 years, in the only width that a processor divides quickly.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
