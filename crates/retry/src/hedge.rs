//! When a call is sent a second time without waiting for its failure (gRFC A6, hedging).

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use serde::Serialize;
use tonic::Code;

use crate::allowance::text;
use crate::error::{ConfigError, Mistakes};
use crate::latency::Latency;
use crate::policy::Terms;
use crate::{Allowance, Ended, Idempotency, Pushback, Stop};

/// No hedge comes later, so that none is out of the clock's reach.
const DELAY_MAX: Duration = Duration::from_secs(3600);

/// How long a call may take before it is sent again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HedgeDelay {
    /// Always as long: up to 1 h. Zero sends all attempts at once.
    Fixed(Duration),
    /// As long as this share of the method's calls takes until its response begins.
    Observed {
        /// The share: 0.5 to 0.999.
        percentile: f64,
        /// The delay while fewer than a hundred calls were seen within about the last twenty
        /// seconds: `min` to `max`.
        initial: Duration,
        /// The shortest delay: more than 0.
        min: Duration,
        /// The longest delay: up to 1 h.
        max: Duration,
    },
}

impl HedgeDelay {
    fn check(self, mistakes: &mut Mistakes) {
        match self {
            Self::Fixed(delay) => mistakes.check(delay <= DELAY_MAX, "hedge_delay", delay, "0 to 1 h"),
            Self::Observed { percentile, initial, min, max } => {
                let is_percentile = (0.5..=0.999).contains(&percentile);
                mistakes.check(is_percentile, "hedge_delay.percentile", percentile, "0.5 to 0.999");
                mistakes.check(!min.is_zero(), "hedge_delay.min", min, "more than 0");
                mistakes.check(max >= min && max <= DELAY_MAX, "hedge_delay.max", max, "hedge_delay.min to 1 h");
                let is_initial = initial >= min && initial <= max;
                mistakes.check(is_initial, "hedge_delay.initial", initial, "hedge_delay.min to hedge_delay.max");
            }
        }
    }
}

/// Settings of a [`HedgePolicy`].
#[derive(Debug, Clone, PartialEq)]
pub struct HedgeConfig {
    /// How many attempts a call has in all: 2 to 5.
    pub attempts_max: u32,
    /// How long after an attempt the next one is sent.
    pub delay: HedgeDelay,
    /// The codes after which the other attempts go on, and the next one is sent at once: at least
    /// one, not OK. Any other code is the answer.
    pub non_fatal_codes: Vec<Code>,
    /// How much of one request is kept to be sent again: 1 byte to 16 MiB. A longer one stays with
    /// the attempt that is furthest.
    pub replay_bytes_max: usize,
}

/// One hedge, after the time that one call in twenty takes longer than.
impl Default for HedgeConfig {
    fn default() -> Self {
        Self {
            attempts_max: 2,
            delay: HedgeDelay::Observed {
                percentile: 0.95,
                initial: Duration::from_millis(200),
                min: Duration::from_millis(1),
                max: Duration::from_secs(1),
            },
            non_fatal_codes: vec![Code::Unavailable, Code::ResourceExhausted],
            replay_bytes_max: 256 << 10,
        }
    }
}

/// The policy of one method.
///
/// What the end of an attempt means:
///
/// | the attempt | then |
/// |---|---|
/// | has response headers, is OK, or has a fatal code | [`HedgeDecision::Commit`]; the others are cancelled |
/// | was surely not sent, for the first time | [`HedgeDecision::Resend`]; nothing is counted |
/// | has a code that is not fatal | the next hedge is due at once, after the time of its push-back, or not at all |
/// | and there is no other, nor will be | [`HedgeDecision::GiveUp`] |
#[derive(Debug)]
pub struct HedgePolicy {
    pub(crate) terms: Arc<Terms>,
    delay: HedgeDelay,
    latency: Option<Latency>,
}

/// What happens after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HedgeDecision {
    /// Its answer is the call's, and the others are cancelled.
    Commit,
    /// It is made once more at once, and not counted.
    Resend,
    /// There are others, or there will be: see [`Hedges::next_at`].
    Wait,
    /// Its answer is the call's: it was the last one.
    GiveUp(Stop),
}

/// A call with its attempts.
#[derive(Debug, Clone)]
pub struct Hedges {
    made: u32,
    in_flight: u32,
    next_at: Option<Instant>,
    delay: Duration,
    deadline: Option<Instant>,
    is_transparent_spent: bool,
    stopped: Option<Stop>,
}

impl Hedges {
    /// How many attempts were made.
    pub fn made(&self) -> u32 {
        self.made
    }

    /// How many of them are under way.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// When the next one is due.
    pub fn next_at(&self) -> Option<Instant> {
        self.next_at
    }

    /// No further attempts, and only `in_flight` of those that are under way go on.
    pub fn stop(&mut self, stop: Stop, in_flight: u32) {
        self.stopped.get_or_insert(stop);
        self.next_at = None;
        self.in_flight = in_flight;
    }
}

impl HedgePolicy {
    /// The policy of `method` (`/package.Service/Method`). `now` is the start of its time.
    ///
    /// # Errors
    /// If the method is not declared idempotent, or settings are not in their range; the error names
    /// the method and all that is wrong.
    pub fn try_new(
        method: &str,
        config: &HedgeConfig,
        idempotency: Idempotency,
        allowance: Arc<Allowance>,
        now: Instant,
    ) -> Result<Self, ConfigError> {
        let mut mistakes = Mistakes::default();
        idempotency.check("hedged", &mut mistakes);
        let shared = (config.attempts_max, config.non_fatal_codes.as_slice(), config.replay_bytes_max);
        let terms = Terms::checked(method, shared, idempotency, allowance, &mut mistakes);
        config.delay.check(&mut mistakes);
        mistakes.into_result(|| format!("hedges of {method}"))?;
        let latency = match config.delay {
            HedgeDelay::Fixed(_) => None,
            HedgeDelay::Observed { percentile, .. } => Some(Latency::new(percentile, now)),
        };
        Ok(Self { terms: Arc::new(terms), delay: config.delay, latency })
    }

    /// Whether the call with these headers may be hedged at all.
    pub fn covers(&self, headers: &HeaderMap) -> bool {
        self.terms.covers(headers)
    }

    /// The delay of a call that begins now.
    pub fn delay(&self) -> Duration {
        match self.delay {
            HedgeDelay::Fixed(delay) => delay,
            HedgeDelay::Observed { initial, min, max, .. } => {
                self.latency.as_ref().and_then(Latency::estimate).map_or(initial, |observed| observed.clamp(min, max))
            }
        }
    }

    /// A call begins: its first attempt is made. `is_chained` tells that it is made for a call that
    /// is a retry itself; then this one is not hedged.
    pub fn begin(&self, now: Instant, deadline: Option<Instant>, is_chained: bool) -> Hedges {
        self.terms.allowance.budget().deposit(now);
        let delay = self.delay();
        let mut call = Hedges {
            made: 1,
            in_flight: 1,
            next_at: None,
            delay,
            deadline,
            is_transparent_spent: false,
            stopped: is_chained.then_some(Stop::Chain),
        };
        _ = self.schedule(&mut call, now, delay);
        call
    }

    /// The time of the next hedge has come: whether it may be sent. If not, there will be none.
    ///
    /// # Errors
    /// What is against it.
    pub fn send(&self, call: &mut Hedges, now: Instant) -> Result<(), Stop> {
        self.schedule(call, now, Duration::ZERO)?;
        let allowance = &self.terms.allowance;
        let refused = if !allowance.throttle().allows() {
            Some(Stop::Throttled)
        } else {
            (!allowance.budget().withdraw(now)).then_some(Stop::Budget)
        };
        if let Some(stop) = refused {
            let in_flight = call.in_flight;
            call.stop(stop, in_flight);
            return Err(stop);
        }
        call.made += 1;
        call.in_flight += 1;
        let delay = call.delay;
        _ = self.schedule(call, now, delay);
        Ok(())
    }

    /// An attempt has ended. `is_replayable` tells whether the request could be sent again as a whole.
    pub fn ended(&self, call: &mut Hedges, ended: Ended, is_replayable: bool, now: Instant) -> HedgeDecision {
        if !ended.was_sent && !call.is_transparent_spent && is_replayable {
            call.is_transparent_spent = true;
            return HedgeDecision::Resend;
        }
        call.in_flight = call.in_flight.saturating_sub(1);
        let throttle = self.terms.allowance.throttle();
        let is_stop = ended.pushback == Some(Pushback::Stop);
        if !self.terms.codes.contains(ended.code) {
            match ended.code {
                Code::Ok => throttle.succeeded(),
                _ if is_stop => _ = throttle.failed(),
                _ => {}
            }
            return HedgeDecision::Commit;
        }
        let has_tokens = throttle.failed();
        let limits = [
            (is_stop, Stop::Pushback),
            (!is_replayable, Stop::Buffer),
            // With others under way there may be tokens again when the next one is due.
            (!has_tokens && call.in_flight == 0, Stop::Throttled),
        ];
        let reached = limits.into_iter().find(|(is_reached, _)| *is_reached);
        call.stopped = call.stopped.or(reached.map(|(_, stop)| stop));
        let after = match ended.pushback {
            Some(Pushback::After(after)) => after,
            _ => Duration::ZERO,
        };
        match self.schedule(call, now, after) {
            Err(stop) if call.in_flight == 0 => HedgeDecision::GiveUp(stop),
            _ => HedgeDecision::Wait,
        }
    }

    /// The response to a first attempt began after `latency`, or had not by then.
    pub fn observe(&self, now: Instant, latency: Duration) {
        if let Some(histogram) = &self.latency {
            histogram.observe(now, latency);
        }
    }

    /// What is known right now.
    pub fn snapshot(&self, now: Instant) -> HedgeSnapshot {
        let Terms { method, allowance, attempts_max, .. } = &*self.terms;
        HedgeSnapshot {
            method: method.clone(),
            peer: allowance.peer().clone(),
            attempts_max: *attempts_max,
            is_hedging: allowance.throttle().allows() && allowance.budget().left(now) > 0,
            is_delay_observed: self.latency.as_ref().and_then(Latency::estimate).is_some(),
            delay_ms: self.delay().as_secs_f64() * 1000.0,
        }
    }

    /// The next one is due `after` from now, unless something is against it.
    fn schedule(&self, call: &mut Hedges, now: Instant, after: Duration) -> Result<(), Stop> {
        call.next_at = None;
        if let Some(stop) = call.stopped {
            return Err(stop);
        }
        if call.made >= self.terms.attempts_max {
            return Err(Stop::AttemptsMax);
        }
        if !crate::policy::begins_before(call.deadline, now, after) {
            return Err(Stop::Deadline);
        }
        call.next_at = Some(now + after);
        Ok(())
    }
}

/// The state of a [`HedgePolicy`]; the numbers are those of its peer's [`Allowance`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HedgeSnapshot {
    /// The method.
    #[serde(serialize_with = "text")]
    pub method: Arc<str>,
    /// The peer.
    #[serde(serialize_with = "text")]
    pub peer: Arc<str>,
    /// How many attempts a call has in all.
    pub attempts_max: u32,
    /// Whether the tokens and the budget allow for hedges right now.
    pub is_hedging: bool,
    /// Whether the delay comes from observed calls.
    pub is_delay_observed: bool,
    /// The delay of a call that begins now.
    pub delay_ms: f64,
}
