//! How many calls are served at a time, found from their latency, and who is kept out first.
//!
//! A [`ConcurrencyLimiter`] admits a call while the calls in flight are under the limit: all of it for
//! critical calls, less for others (Google's SRE book, "Handling overload"). Over that, a few calls
//! wait, the most critical first; the rest is refused and told when to come back.

mod admission;
mod aimd;
mod algorithm;
mod config;
mod fixed;
mod gradient2;
mod permit;
mod sampler;
mod vegas;
mod window;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use seawall_propagation::Criticality;
use serde::Serialize;

use admission::{Admission, Entry, Load};
use sampler::Sampler;

pub use aimd::AimdConfig;
pub use algorithm::Algorithm;
pub use config::ConcurrencyConfig;
pub use fixed::FixedConfig;
pub use gradient2::Gradient2Config;
pub use permit::{Permit, Shed, Verdict, Waiter};
pub use vegas::VegasConfig;

use crate::ConfigError;

/// Nobody is told to come back sooner, which would be at once, or later, because nobody knows.
const RETRY_AFTER_MIN: Duration = Duration::from_millis(10);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);

/// When to come back for a stream: nobody knows when one ends.
const STREAM_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Who has waited so many times longer than was to be expected has been passed by more critical calls,
/// and will be by the next ones.
const PATIENCE: u32 = 2;

/// A limit on the calls that are served at a time, shared by what competes for the same capacity.
///
/// Taking a place and giving it back is one atomic operation each while nobody waits. What the end of
/// a call teaches is noted under a mutex that nobody waits for.
///
/// ```
/// use std::sync::Arc;
/// use std::time::{Duration, Instant};
/// use seawall_limit::{Algorithm, ConcurrencyConfig, ConcurrencyLimiter, FixedConfig};
/// use seawall_propagation::Criticality;
///
/// let algorithm = Algorithm::Fixed(FixedConfig { limit: 10 });
/// let limiter = Arc::new(ConcurrencyLimiter::try_new(ConcurrencyConfig { algorithm, ..Default::default() })?);
/// let start = Instant::now();
/// let permits: Vec<_> =
///     std::iter::from_fn(|| limiter.try_acquire(start, Criticality::Default).ok()).collect();
/// assert_eq!(permits.len(), 9);
/// let critical = limiter.try_acquire(start, Criticality::Critical).expect("the tenth place is for this");
/// critical.served(start + Duration::from_millis(20));
/// # Ok::<(), seawall_limit::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct ConcurrencyLimiter {
    config: ConcurrencyConfig,
    calls: Admission,
    streams: Admission,
    sampler: Sampler,
    /// Refused since the start, by criticality.
    refused: [AtomicU64; 3],
}

impl ConcurrencyLimiter {
    /// A limiter with nothing in flight.
    ///
    /// # Errors
    /// If settings are out of bounds: all of those that are.
    pub fn try_new(config: ConcurrencyConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            calls: Admission::new(config.algorithm.limit_initial(), config.shares(true)),
            streams: Admission::new(config.streams_max, config.shares(false)),
            sampler: Sampler::new(&config.algorithm),
            refused: [const { AtomicU64::new(0) }; 3],
            config,
        })
    }

    /// The settings it was made of.
    pub fn config(&self) -> &ConcurrencyConfig {
        &self.config
    }

    /// A place for a unary call, now or not at all.
    ///
    /// # Errors
    /// If there is none for a call of this criticality.
    pub fn try_acquire(self: &Arc<Self>, now: Instant, criticality: Criticality) -> Result<Permit, Shed> {
        match self.calls.try_enter(criticality) {
            Ok(()) => Ok(self.permit(now, false)),
            Err(load) => Err(self.shed(criticality, false, load)),
        }
    }

    /// A place for a streaming call, among those for streams.
    ///
    /// # Errors
    /// If there is none for a call of this criticality.
    pub fn try_acquire_stream(self: &Arc<Self>, now: Instant, criticality: Criticality) -> Result<Permit, Shed> {
        match self.streams.try_enter(criticality) {
            Ok(()) => Ok(self.permit(now, true)),
            Err(load) => Err(self.shed(criticality, true, load)),
        }
    }

    /// A place for a unary call, or one in the queue. A call waits only if it can be expected to be
    /// served before its `deadline`: to wait longer would be work for nobody.
    pub fn acquire(self: &Arc<Self>, now: Instant, criticality: Criticality, deadline: Option<Instant>) -> Verdict {
        let wait_max = match deadline {
            Some(deadline) => {
                let to_spare = deadline.saturating_duration_since(now).saturating_sub(self.sampler.latency_high());
                to_spare.min(self.config.wait_max)
            }
            None => self.config.wait_max,
        };
        let mut patience = wait_max;
        let entry = self.calls.enter(criticality, |ahead| {
            let expected = time_to_serve(ahead + 1, self.calls.load_for(criticality).limit, self.sampler.latency());
            if criticality < Criticality::Critical {
                patience = patience.min(PATIENCE * expected.max(self.sampler.latency()));
            }
            !wait_max.is_zero() && expected <= wait_max
        });
        match entry {
            Entry::Admitted => Verdict::Admitted(self.permit(now, false)),
            Entry::Waiting(key) => {
                self.sampler.kept_out();
                let limiter = Arc::clone(self);
                Verdict::Waiting(Waiter { limiter, criticality, key: Some(key), give_up_at: now + patience })
            }
            Entry::Full(load) => Verdict::Refused(self.shed(criticality, false, load)),
        }
    }

    /// What it knows, for people.
    pub fn snapshot(&self, now: Instant) -> ConcurrencySnapshot {
        let (calls, streams) = (self.calls.load(), self.streams.load());
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
        let refused = |criticality: Criticality| self.refused[criticality as usize].load(Ordering::Relaxed);
        ConcurrencySnapshot {
            algorithm: self.config.algorithm.as_str(),
            limit: calls.limit,
            in_flight: calls.in_flight,
            waiting: calls.waiting,
            streams: streams.in_flight,
            streams_max: streams.limit,
            refused_critical: refused(Criticality::Critical),
            refused_default: refused(Criticality::Default),
            refused_sheddable: refused(Criticality::Sheddable),
            latency_ms: milliseconds(self.sampler.latency()),
            latency_high_ms: milliseconds(self.sampler.latency_high()),
            learnt_ago_ms: self.sampler.learnt_at().map(|at| milliseconds(now.saturating_duration_since(at))),
        }
    }

    fn permit(self: &Arc<Self>, now: Instant, is_stream: bool) -> Permit {
        Permit { limiter: Arc::clone(self), is_stream, started: now }
    }

    fn admission(&self, is_stream: bool) -> &Admission {
        if is_stream { &self.streams } else { &self.calls }
    }

    fn learn(&self, now: Instant, rtt: Duration, was_overloaded: bool) {
        if let Some(limit) = self.sampler.add(now, rtt, self.calls.load().in_flight, was_overloaded) {
            self.calls.set_limit(limit);
        }
    }

    fn shed(&self, criticality: Criticality, is_stream: bool, load: Load) -> Shed {
        self.refused[criticality as usize].fetch_add(1, Ordering::Relaxed);
        let retry_after = if is_stream {
            STREAM_RETRY_AFTER
        } else {
            self.sampler.kept_out();
            let ahead = load.in_flight.saturating_add(load.waiting);
            time_to_serve(ahead, load.limit, self.sampler.latency()).clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX)
        };
        let Load { limit, in_flight, waiting } = load;
        Shed { criticality, limit, in_flight, waiting, retry_after }
    }
}

/// The time in which so many calls are served, `limit` at a time (Little's law).
fn time_to_serve(calls: u32, limit: u32, latency: Duration) -> Duration {
    latency.mul_f64(f64::from(calls) / f64::from(limit.max(1)))
}

/// What a [`ConcurrencyLimiter`] knows at a moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConcurrencySnapshot {
    /// What finds the limit.
    pub algorithm: &'static str,
    /// Unary calls that may be in flight, if they are critical.
    pub limit: u32,
    /// Unary calls in flight.
    pub in_flight: u32,
    /// Unary calls that wait.
    pub waiting: u32,
    /// Streaming calls that are open.
    pub streams: u32,
    /// Streaming calls that may be open, if they are critical.
    pub streams_max: u32,
    /// Critical calls refused since the start.
    pub refused_critical: u64,
    /// Default calls refused since the start.
    pub refused_default: u64,
    /// Sheddable calls refused since the start.
    pub refused_sheddable: u64,
    /// The mean latency of a unary call.
    pub latency_ms: f64,
    /// What nearly every unary call takes at most.
    pub latency_high_ms: f64,
    /// How old these latencies are; none before there are any.
    pub learnt_ago_ms: Option<f64>,
}

#[cfg(test)]
mod tests;
