//! How busy an endpoint is: its calls in flight, weighed by the time that they take.

use std::time::{Duration, Instant};

use crate::ewma::Ewma;
use crate::sync::{AtomicU64, Ordering};

/// What an endpoint that has not answered yet weighs for each call in flight: more than any that has.
/// So a new endpoint, or one that is back, is tried with one call at a time until it answers.
const UNKNOWN: f64 = 1e9;

/// The load of one endpoint. Its value is √(ewma + 1)·(in_flight + 1), the ewma in microseconds, as
/// in go-zero's p2c.
#[derive(Debug)]
pub struct Load {
    ewma: Ewma,
    origin: Instant,
    in_flight: AtomicU64,
    picks: AtomicU64,
    /// Milliseconds since the origin.
    picked_at_ms: AtomicU64,
}

impl Load {
    /// An endpoint with no calls. `decay` is that of its [`Ewma`].
    pub fn new(decay: Duration, now: Instant) -> Self {
        Self {
            ewma: Ewma::new(decay, now),
            origin: now,
            in_flight: AtomicU64::new(0),
            picks: AtomicU64::new(0),
            picked_at_ms: AtomicU64::new(0),
        }
    }

    /// A call goes to the endpoint. Each is to be [`finished`](Self::finished) once.
    pub fn picked(&self, now: Instant) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.picks.fetch_add(1, Ordering::Relaxed);
        self.picked_at_ms.fetch_max(self.since_origin_ms(now), Ordering::Relaxed);
    }

    /// A call that was picked is over, one way or another.
    pub fn finished(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// The time that calls take.
    pub fn ewma(&self) -> &Ewma {
        &self.ewma
    }

    /// The calls that have not finished.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The calls that it ever had.
    pub fn picks(&self) -> u64 {
        self.picks.load(Ordering::Relaxed)
    }

    /// The load; only comparing it to that of another endpoint means something.
    pub fn value(&self, now: Instant) -> f64 {
        let in_flight = self.in_flight() as f64;
        match self.ewma.estimate_us(now) {
            Some(ewma_us) => (ewma_us + 1.0).sqrt() * (in_flight + 1.0),
            None => UNKNOWN * in_flight,
        }
    }

    /// Whether the last call, or the start, is longer ago than `after`.
    pub fn is_forgotten(&self, now: Instant, after: Duration) -> bool {
        is_longer(self.since_origin_ms(now), self.picked_at_ms.load(Ordering::Relaxed), after)
    }

    /// Whether the endpoint is forgotten and now due for a call. Only one of those who ask at the
    /// same time is told so.
    pub fn claim_forced(&self, now: Instant, after: Duration) -> bool {
        let now_ms = self.since_origin_ms(now);
        let last_ms = self.picked_at_ms.load(Ordering::Relaxed);
        is_longer(now_ms, last_ms, after)
            && self.picked_at_ms.compare_exchange(last_ms, now_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn since_origin_ms(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.origin).as_millis() as u64
    }
}

fn is_longer(now_ms: u64, last_ms: u64, after: Duration) -> bool {
    u128::from(now_ms.saturating_sub(last_ms)) > after.as_millis()
}
