//! A point in time that threads share.

use std::time::{Duration, Instant};

use crate::sync::{AtomicU64, Ordering};

/// Nanoseconds since the breaker's origin: what fits into an atomic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Nanos(u64);

impl Nanos {
    pub(crate) fn since(origin: Instant, now: Instant) -> Self {
        Self::of(now.saturating_duration_since(origin))
    }

    fn of(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }

    /// The time from `earlier` until this; zero if it is later.
    pub(crate) fn after(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    pub(crate) fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(Self::of(duration).0))
    }
}

/// When something has last happened, if it has: zero is never, and all else a nanosecond more.
///
/// Relaxed: what happened is counted elsewhere, by atomics of its own.
#[derive(Debug, Default)]
pub(crate) struct Mark(AtomicU64);

impl Mark {
    pub(crate) fn get(&self) -> Option<Nanos> {
        self.0.load(Ordering::Relaxed).checked_sub(1).map(Nanos)
    }

    /// Moves forward, never back.
    pub(crate) fn set(&self, now: Nanos) {
        self.0.fetch_max(now.0.saturating_add(1), Ordering::Relaxed);
    }

    /// Moves from what has been seen to now; one of several threads that try does.
    pub(crate) fn claim(&self, seen: Nanos, now: Nanos) -> bool {
        let (seen, now) = (seen.0.saturating_add(1), now.0.saturating_add(1));
        self.0.compare_exchange(seen, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    pub(crate) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}
