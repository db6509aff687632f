//! What the ends of calls teach: the limit, and how long a call takes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use super::algorithm::{Algorithm, Limit};
use super::window::Window;

/// What a call is taken to last before any has ended.
const LATENCY_UNKNOWN: Duration = Duration::from_millis(100);

/// How many deviations over the mean a call is counted on to take: of most distributions, at least 95
/// of 100 calls are done by then.
const DEVIATIONS: f64 = 2.0;

/// Half of a new window and half of what was known: the last few windows.
const LATENCY_WEIGHT: f64 = 0.5;

#[derive(Debug)]
pub(super) struct Sampler {
    learning: Mutex<Learning>,
    /// Set while the limit keeps calls out, until the next window.
    is_binding: AtomicBool,
    latency_ns: AtomicU64,
    latency_high_ns: AtomicU64,
}

#[derive(Debug)]
struct Learning {
    window: Window,
    limit: Limit,
    mean_s: f64,
    deviation_s: f64,
    learnt_at: Option<Instant>,
}

impl Sampler {
    pub(super) fn new(algorithm: &Algorithm) -> Self {
        let unknown_ns = LATENCY_UNKNOWN.as_nanos() as u64;
        Self {
            learning: Mutex::new(Learning {
                window: Window::default(),
                limit: Limit::new(algorithm),
                mean_s: LATENCY_UNKNOWN.as_secs_f64(),
                deviation_s: 0.0,
                learnt_at: None,
            }),
            is_binding: AtomicBool::new(false),
            latency_ns: AtomicU64::new(unknown_ns),
            latency_high_ns: AtomicU64::new(unknown_ns),
        }
    }

    /// Notes a call that ended `now`; the last one of a window answers with the limit from here on.
    ///
    /// A call that ends while another one is being noted is not: who serves a call does not wait for
    /// statistics, and which calls that happens to has nothing to do with their latency.
    pub(super) fn add(&self, now: Instant, rtt: Duration, in_flight: u32, was_overloaded: bool) -> Option<u32> {
        let mut learning = match self.learning.try_lock() {
            Ok(learning) => learning,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let mut measured = learning.window.add(now, rtt, in_flight, was_overloaded)?;
        measured.is_binding = self.is_binding.swap(false, Ordering::Relaxed);
        let weight = if learning.learnt_at.is_some() { LATENCY_WEIGHT } else { 1.0 };
        learning.learnt_at = Some(now);
        learning.mean_s += (measured.rtt_s - learning.mean_s) * weight;
        learning.deviation_s += (measured.deviation_s - learning.deviation_s) * weight;
        let high_s = learning.mean_s + DEVIATIONS * learning.deviation_s;
        self.latency_ns.store((learning.mean_s * 1e9).round() as u64, Ordering::Relaxed);
        self.latency_high_ns.store((high_s * 1e9).round() as u64, Ordering::Relaxed);
        Some(learning.limit.update(&measured))
    }

    /// The limit keeps a call out.
    pub(super) fn kept_out(&self) {
        self.is_binding.store(true, Ordering::Relaxed);
    }

    /// How long a call takes, on average.
    pub(super) fn latency(&self) -> Duration {
        Duration::from_nanos(self.latency_ns.load(Ordering::Relaxed))
    }

    /// How long nearly every call takes at most.
    pub(super) fn latency_high(&self) -> Duration {
        Duration::from_nanos(self.latency_high_ns.load(Ordering::Relaxed))
    }

    /// When the last window closed.
    pub(super) fn learnt_at(&self) -> Option<Instant> {
        self.learning.lock().unwrap_or_else(PoisonError::into_inner).learnt_at
    }
}
