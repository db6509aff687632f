//! The adaptive throttle: it drops the share of the calls that its peer would not accept anyway.
//!
//! From Google's SRE book (chapter "Handling Overload", equation 21.1), with the refinements of
//! go-zero's `googlebreaker`: the multiplier shrinks while the peer accepts nothing, the chance
//! shrinks while it has been failing nothing, and a call passes at least every second.
//!
//! An accept is any answer that the peer meant to give: a success or the caller's own mistake. A call
//! that nobody waited for is neither accept nor failure.

use std::time::{Duration, Instant};

use seawall_classify::Outcome;
use seawall_window::Window;

use crate::decision::Edge;
use crate::mark::{Mark, Nanos};
use crate::sync::{AtomicBool, Ordering};
use crate::{AdaptiveConfig, Reason, Refusal};

const ACCEPTS: usize = 0;
const FAILURES: usize = 1;
const DROPS: usize = 2;

/// How long no call must have been dropped before the throttle says that it is over: the chance of a
/// drop crosses zero many times while a peer recovers.
const QUIET: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Adaptive {
    config: AdaptiveConfig,
    origin: Instant,
    window: Window<3>,
    /// The last failure or drop. Without one in the window no call can be dropped, which is known
    /// without a sum.
    last_trouble: Mark,
    last_drop: Mark,
    /// The last call that passed although it might have been dropped.
    last_pass: Mark,
    throttling: AtomicBool,
}

/// What the window says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct History {
    pub(crate) calls: u64,
    pub(crate) accepts: u64,
    pub(crate) failures: u64,
    pub(crate) drops: u64,
    /// The chance that a call is dropped, 0 to less than 1.
    pub(crate) drop_probability: f64,
    /// Whether more calls were made than the peer's accepts allow for.
    is_over: bool,
}

impl Adaptive {
    pub(crate) fn new(config: &AdaptiveConfig, window: Window<3>, origin: Instant) -> Self {
        Self {
            config: config.clone(),
            origin,
            window,
            last_trouble: Mark::default(),
            last_drop: Mark::default(),
            last_pass: Mark::default(),
            throttling: AtomicBool::new(false),
        }
    }

    pub(crate) fn admit(&self, now: Instant, random: f64) -> (Result<(), Refusal>, Option<Edge>) {
        let at = Nanos::since(self.origin, now);
        if !self.has_trouble(at) && !self.is_throttling() {
            return (Ok(()), None);
        }
        let history = self.history(now);
        if !history.is_over {
            return (Ok(()), self.ended(&history, at));
        }
        if let Some(last) = self.last_pass.get()
            && at.after(last) > self.config.force_pass_after
            && self.last_pass.claim(last, at)
        {
            return (Ok(()), None);
        }
        if random >= history.drop_probability {
            self.last_pass.set(at);
            return (Ok(()), None);
        }
        self.dropped(&history, now, at)
    }

    pub(crate) fn record(&self, now: Instant, outcome: Outcome) {
        match outcome {
            Outcome::Success | Outcome::CallersFault => self.window.add(now, ACCEPTS, 1),
            Outcome::Failure | Outcome::Retryable => {
                self.window.add(now, FAILURES, 1);
                self.last_trouble.set(Nanos::since(self.origin, now));
            }
            Outcome::Cancelled => {}
        }
    }

    pub(crate) fn is_throttling(&self) -> bool {
        self.throttling.load(Ordering::Relaxed)
    }

    pub(crate) fn reset(&self) {
        self.window.clear();
        for mark in [&self.last_trouble, &self.last_drop, &self.last_pass] {
            mark.clear();
        }
        self.throttling.store(false, Ordering::Relaxed);
    }

    pub(crate) fn history(&self, now: Instant) -> History {
        let (mut accepts, mut failures, mut drops) = (0, 0, 0);
        let (mut failing_buckets, mut working_buckets) = (0u32, 0u32);
        let (mut only_failures, mut only_accepts) = (true, true);
        for bucket in self.window.buckets(now) {
            accepts += bucket[ACCEPTS];
            failures += bucket[FAILURES];
            drops += bucket[DROPS];
            // Counted from now back to the first bucket that says otherwise; an empty one says nothing.
            only_failures &= bucket[ACCEPTS] == 0;
            only_accepts &= bucket[FAILURES] == 0;
            failing_buckets += u32::from(only_failures && bucket[FAILURES] > 0);
            working_buckets += u32::from(only_accepts && bucket[ACCEPTS] > 0);
        }
        let AdaptiveConfig { k, k_min, protection, buckets, .. } = self.config;
        let calls = accepts + failures + drops;
        let buckets = buckets as f64;
        let multiplier = k_min.max(k - (k - k_min) * f64::from(failing_buckets) / buckets);
        let over = calls as f64 - f64::from(protection) - multiplier * accepts as f64;
        let share = over.max(0.0) / (calls + 1) as f64;
        let drop_probability = share * (buckets - f64::from(working_buckets)) / buckets;
        History { calls, accepts, failures, drops, drop_probability, is_over: over > 0.0 }
    }

    fn has_trouble(&self, at: Nanos) -> bool {
        self.last_trouble.get().is_some_and(|last| at.after(last) < self.window.span())
    }

    fn dropped(&self, history: &History, now: Instant, at: Nanos) -> (Result<(), Refusal>, Option<Edge>) {
        self.window.add(now, DROPS, 1);
        self.last_trouble.set(at);
        self.last_drop.set(at);
        // If none has passed yet, the time without one begins with the first that did not.
        let last_pass = self.last_pass.get().unwrap_or_else(|| {
            self.last_pass.set(at);
            at
        });
        let &History { drop_probability, calls, accepts, .. } = history;
        let reason = Reason::Throttled { drop_probability, calls, accepts };
        let retry_after = Some(last_pass.plus(self.config.force_pass_after).after(at));
        let has_begun = !self.is_throttling() && !self.throttling.swap(true, Ordering::Relaxed);
        let edge = has_begun.then_some(Edge::Throttling { drop_probability, calls, accepts });
        (Err(Refusal { reason, retry_after }), edge)
    }

    fn ended(&self, history: &History, at: Nanos) -> Option<Edge> {
        let is_quiet = self.last_drop.get().is_none_or(|last| at.after(last) >= QUIET);
        let has_ended = is_quiet && self.is_throttling() && self.throttling.swap(false, Ordering::Relaxed);
        has_ended.then_some(Edge::Passing { calls: history.calls, accepts: history.accepts })
    }
}
