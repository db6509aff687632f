//! What outlier detection knows of one endpoint.

use std::sync::PoisonError;
use std::time::Instant;

use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Mutex, Ordering};

/// Calls of one endpoint and whether it is ejected. Counting is lock-free.
#[derive(Debug)]
pub struct Tracker {
    /// Calls since the last sweep: A50's active bucket. A call that ends while a sweep reads is
    /// counted in the next interval.
    successes: AtomicU64,
    failures: AtomicU64,
    failures_ever: AtomicU64,
    consecutive_failures: AtomicU32,
    is_ejected: AtomicBool,
    /// It has returned, and no call has succeeded since.
    is_on_probation: AtomicBool,
    /// Only sweeps, checks and who looks at the state take this lock, no call does.
    ejection: Mutex<Ejection>,
}

/// The calls of one interval.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Volume {
    pub(super) successes: u64,
    pub(super) failures: u64,
}

impl Volume {
    pub(super) fn total(self) -> u64 {
        self.successes + self.failures
    }
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ejection {
    pub(super) at: Option<Instant>,
    pub(super) multiplier: u32,
}

impl Default for Tracker {
    fn default() -> Self {
        Self {
            successes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            failures_ever: AtomicU64::new(0),
            consecutive_failures: AtomicU32::new(0),
            is_ejected: AtomicBool::new(false),
            is_on_probation: AtomicBool::new(false),
            ejection: Mutex::new(Ejection::default()),
        }
    }
}

impl Tracker {
    /// Whether it is to get no calls.
    pub fn is_ejected(&self) -> bool {
        self.is_ejected.load(Ordering::Relaxed)
    }

    /// The failures that it ever had.
    pub fn failures(&self) -> u64 {
        self.failures_ever.load(Ordering::Relaxed)
    }

    /// The failures since its last success.
    pub fn consecutive_failures(&self) -> u32 {
        self.consecutive_failures.load(Ordering::Relaxed)
    }

    /// Whether it has returned, and no call has succeeded since.
    pub(super) fn is_on_probation(&self) -> bool {
        self.is_on_probation.load(Ordering::Relaxed)
    }

    /// Counts a call and returns the failures since the last success.
    pub(super) fn record(&self, is_success: bool) -> u32 {
        if is_success {
            self.successes.fetch_add(1, Ordering::Relaxed);
            // Not written to where it is zero already, which nearly all calls find.
            if self.consecutive_failures() != 0 {
                self.consecutive_failures.store(0, Ordering::Relaxed);
            }
            if self.is_on_probation() {
                self.is_on_probation.store(false, Ordering::Relaxed);
            }
            return 0;
        }
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.failures_ever.fetch_add(1, Ordering::Relaxed);
        self.consecutive_failures.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// The calls since this was last called.
    pub(super) fn swap(&self) -> Volume {
        Volume {
            successes: self.successes.swap(0, Ordering::Relaxed),
            failures: self.failures.swap(0, Ordering::Relaxed),
        }
    }

    /// The calls since the last swap so far.
    pub(super) fn volume(&self) -> Volume {
        Volume { successes: self.successes.load(Ordering::Relaxed), failures: self.failures.load(Ordering::Relaxed) }
    }

    /// Failures from before it returns do not count against it, and successes from before it was
    /// ejected not for it.
    pub(super) fn set_ejected(&self, is_ejected: bool) {
        if !is_ejected {
            self.consecutive_failures.store(0, Ordering::Relaxed);
        }
        self.is_on_probation.store(!is_ejected, Ordering::Relaxed);
        self.is_ejected.store(is_ejected, Ordering::Relaxed);
    }

    #[cfg(not(seawall_loom))]
    pub(super) fn ejection(&self) -> std::sync::MutexGuard<'_, Ejection> {
        self.ejection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(seawall_loom)]
    pub(super) fn ejection(&self) -> loom::sync::MutexGuard<'_, Ejection> {
        self.ejection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
