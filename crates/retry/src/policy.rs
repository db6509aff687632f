//! Whether and when a call is tried again after a failure (gRFC A6).

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use opentelemetry::KeyValue;
use serde::Serialize;
use tonic::Code;

use crate::allowance::text;
use crate::codes::CodeSet;
use crate::error::{ConfigError, Mistakes};
use crate::{Allowance, Backoff, Ended, Idempotency, Pushback, Stop, metrics};

/// The most attempts of a call in all, the first included (gRFC A6).
const ATTEMPTS_MAX: u32 = 5;

/// The most that may be kept of one request.
const REPLAY_BYTES_MAX: usize = 16 << 20;

/// Settings of a [`RetryPolicy`].
#[derive(Debug, Clone, PartialEq)]
pub struct RetryConfig {
    /// How many attempts a call has in all: 2 to 5.
    pub attempts_max: u32,
    /// The delay before the first retry, ± 20 %: more than 0.
    pub initial_backoff: Duration,
    /// The longest delay, ± 20 %: up to 1 h.
    pub max_backoff: Duration,
    /// By what the delay grows from one retry to the next: more than 0.
    pub backoff_multiplier: f64,
    /// The codes after which there is another attempt: at least one, not OK.
    pub codes: Vec<Code>,
    /// How much of one request is kept to be sent again: 1 byte to 16 MiB. A longer one stays with
    /// the attempt that it was sent with.
    pub replay_bytes_max: usize,
}

/// Three attempts within a fraction of a second, after the codes with which a peer says that it has
/// not done anything.
impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            attempts_max: 3,
            initial_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(1),
            backoff_multiplier: 2.0,
            codes: vec![Code::Unavailable, Code::ResourceExhausted],
            replay_bytes_max: 256 << 10,
        }
    }
}

/// What retries and hedges have in common: the method, its codes, and what its peer allows.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) method: Arc<str>,
    pub(crate) attempts_max: u32,
    pub(crate) codes: CodeSet,
    pub(crate) replay_bytes_max: usize,
    pub(crate) allowance: Arc<Allowance>,
    pub(crate) labels: [KeyValue; 2],
    idempotency: Idempotency,
}

impl Terms {
    pub(crate) fn checked(
        method: &str,
        (attempts_max, codes, replay_bytes_max): (u32, &[Code], usize),
        idempotency: Idempotency,
        allowance: Arc<Allowance>,
        mistakes: &mut Mistakes,
    ) -> Self {
        mistakes.check((2..=ATTEMPTS_MAX).contains(&attempts_max), "attempts_max", attempts_max, "2 to 5");
        let is_good = !codes.is_empty() && !codes.contains(&Code::Ok);
        mistakes.check(is_good, "codes", codes, "at least one, without Ok");
        let is_good = (1..=REPLAY_BYTES_MAX).contains(&replay_bytes_max);
        mistakes.check(is_good, "replay_bytes_max", replay_bytes_max, "1 to 16777216 (16 MiB)");
        let labels = metrics::labels(method, allowance.peer());
        Self {
            method: method.into(),
            attempts_max,
            codes: CodeSet::of(codes),
            replay_bytes_max,
            allowance,
            labels,
            idempotency,
        }
    }

    pub(crate) fn covers(&self, headers: &HeaderMap) -> bool {
        self.idempotency.covers(headers)
    }

    /// Counts what the end of a committed attempt says about the peer.
    pub(crate) fn count(&self, code: Code) {
        if code == Code::Ok {
            self.allowance.throttle().succeeded();
        } else if self.codes.contains(code) {
            self.allowance.throttle().failed();
        }
    }
}

/// The policy of one method, or of several that share their settings.
///
/// A call's states, after each attempt of it:
///
/// | the attempt | then |
/// |---|---|
/// | has response headers, is OK, or has a code that is not to be retried | [`Decision::Commit`] |
/// | was surely not sent, for the first time | again at once; nothing is counted |
/// | anything else, and a limit is reached | [`Decision::GiveUp`] with the limit |
/// | has a push-back of n ms | again after n ms; the back-off starts anew |
/// | anything else | again after the next back-off |
#[derive(Debug)]
pub struct RetryPolicy {
    pub(crate) terms: Arc<Terms>,
    backoff: Backoff,
}

/// What happens after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Its answer is the call's.
    Commit,
    /// There is another attempt.
    Retry {
        /// When.
        after: Duration,
        /// The attempt before had no effect, so that this one is not counted.
        is_transparent: bool,
    },
    /// Its answer is the call's, though it failed in a way that could be retried.
    GiveUp(Stop),
}

/// A call with its attempts so far.
#[derive(Debug, Clone)]
pub struct Attempts {
    made: u32,
    backoffs: u32,
    is_transparent_spent: bool,
    is_chained: bool,
    deadline: Option<Instant>,
}

impl Attempts {
    /// How many attempts were made, without the one that was not sent.
    pub fn made(&self) -> u32 {
        self.made
    }
}

impl RetryPolicy {
    /// The policy of `method` (`/package.Service/Method`).
    ///
    /// # Errors
    /// If the method is not declared idempotent, or settings are not in their range; the error names
    /// the method and all that is wrong.
    pub fn try_new(
        method: &str,
        config: &RetryConfig,
        idempotency: Idempotency,
        allowance: Arc<Allowance>,
    ) -> Result<Self, ConfigError> {
        let mut mistakes = Mistakes::default();
        idempotency.check("retried", &mut mistakes);
        let RetryConfig { attempts_max, initial_backoff, max_backoff, backoff_multiplier, .. } = *config;
        let shared = (attempts_max, config.codes.as_slice(), config.replay_bytes_max);
        let terms = Terms::checked(method, shared, idempotency, allowance, &mut mistakes);
        let backoff = Backoff::checked(initial_backoff, max_backoff, backoff_multiplier, &mut mistakes);
        mistakes.into_result(|| format!("retries of {method}"))?;
        Ok(Self { terms: Arc::new(terms), backoff })
    }

    /// Whether the call with these headers may be retried at all.
    pub fn covers(&self, headers: &HeaderMap) -> bool {
        self.terms.covers(headers)
    }

    /// A call begins: its first attempt is made. `is_chained` tells that it is made for a call that
    /// is a retry itself; then this one is not retried.
    pub fn begin(&self, now: Instant, deadline: Option<Instant>, is_chained: bool) -> Attempts {
        self.terms.allowance.budget().deposit(now);
        Attempts { made: 1, backoffs: 0, is_transparent_spent: false, is_chained, deadline }
    }

    /// An attempt has ended. `is_replayable` tells whether the request could be sent again as a
    /// whole; `random` is in [0, 1).
    pub fn decide(
        &self,
        call: &mut Attempts,
        ended: Ended,
        is_replayable: bool,
        now: Instant,
        random: f64,
    ) -> Decision {
        if !ended.was_sent && !call.is_transparent_spent && is_replayable {
            call.is_transparent_spent = true;
            return Decision::Retry { after: Duration::ZERO, is_transparent: true };
        }
        let throttle = self.terms.allowance.throttle();
        let is_stop = ended.pushback == Some(Pushback::Stop);
        if !self.terms.codes.contains(ended.code) {
            match ended.code {
                Code::Ok => throttle.succeeded(),
                _ if is_stop => _ = throttle.failed(),
                _ => {}
            }
            return Decision::Commit;
        }
        // A failure counts even if it cannot be retried.
        let has_tokens = throttle.failed();
        let limits = [
            (is_stop, Stop::Pushback),
            (!is_replayable, Stop::Buffer),
            (call.is_chained, Stop::Chain),
            (call.made >= self.terms.attempts_max, Stop::AttemptsMax),
            (!has_tokens, Stop::Throttled),
        ];
        if let Some((_, stop)) = limits.into_iter().find(|(is_reached, _)| *is_reached) {
            return Decision::GiveUp(stop);
        }
        let (backoffs, after) = match ended.pushback {
            Some(Pushback::After(after)) => (0, after),
            _ => (call.backoffs + 1, self.backoff.delay(call.backoffs + 1, random)),
        };
        if !begins_before(call.deadline, now, after) {
            return Decision::GiveUp(Stop::Deadline);
        }
        // Last, because what is taken is gone.
        if !self.terms.allowance.budget().withdraw(now) {
            return Decision::GiveUp(Stop::Budget);
        }
        call.backoffs = backoffs;
        call.made += 1;
        Decision::Retry { after, is_transparent: false }
    }

    /// What is known right now.
    pub fn snapshot(&self, now: Instant) -> RetrySnapshot {
        let budget = self.terms.allowance.budget();
        RetrySnapshot {
            method: self.terms.method.clone(),
            peer: self.terms.allowance.peer().clone(),
            attempts_max: self.terms.attempts_max,
            is_retrying: self.terms.allowance.throttle().allows() && budget.left(now) > 0,
        }
    }
}

/// Whether an attempt that far from now begins before the deadline.
pub(crate) fn begins_before(deadline: Option<Instant>, now: Instant, after: Duration) -> bool {
    deadline.is_none_or(|deadline| after < deadline.saturating_duration_since(now))
}

/// The state of a [`RetryPolicy`]; the numbers are those of its peer's [`Allowance`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RetrySnapshot {
    /// The method.
    #[serde(serialize_with = "text")]
    pub method: Arc<str>,
    /// The peer.
    #[serde(serialize_with = "text")]
    pub peer: Arc<str>,
    /// How many attempts a call has in all.
    pub attempts_max: u32,
    /// Whether the tokens and the budget allow for retries right now.
    pub is_retrying: bool,
}
