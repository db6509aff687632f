//! The three-state breaker: closed, open, half-open.
//!
//! ```text
//!            failure rate, slow-call rate or failures in a row reach their limit
//!   CLOSED ────────────────────────────────────────────────────────────────────► OPEN ◄─┐
//!     ▲                                                   the open time has passed │     │ a rate is sure to
//!     │           all probes have ended, and neither rate has reached its limit    ▼     │ reach its limit
//!     └──────────────────────────────────────────────────────────────────── HALF-OPEN ───┘
//! ```
//!
//! After resilience4j and gobreaker. A call is judged in the stretch of the breaker's life in which
//! it was let through, its generation: one that ends after a transition changes nothing. The caller's
//! faults and calls that nobody waited for count neither as success nor as failure, with one
//! exception: to a probe, which asks whether the peer answers, a caller's fault is an answer.
//!
//! A half-open breaker whose places are all taken does not wait for ever: after `probe_timeout` it
//! judges by what it has, and a probe has then failed unless its answer has begun.
//!
//! A call passes a closed breaker by reading one atomic, and is refused by an open one by reading
//! two. The lock is for half-open, where at most a few calls are let through, and for transitions.

use std::time::{Duration, Instant};

use seawall_classify::Outcome;
use seawall_window::Window;

use crate::decision::{Cause, Edge, Permit, Probe};
use crate::mark::{Mark, Nanos};
use crate::sync::{AtomicU32, AtomicU64, Mutex, Ordering, lock};
use crate::three_state::half_open::{HalfOpen, Verdict};
use crate::{Reason, Refusal, State, ThreeStateConfig};

mod half_open;

const CALLS: usize = 0;
const FAILURES: usize = 1;
const SLOW_CALLS: usize = 2;

type Admission = (Result<Permit, Refusal>, Option<Edge>);

#[derive(Debug)]
pub(crate) struct ThreeState {
    config: ThreeStateConfig,
    origin: Instant,
    window: Window<3>,
    /// The last failure or slow call: without one in the window its rates are zero, which is known
    /// without a sum.
    last_trouble: Mark,
    consecutive_failures: AtomicU32,
    /// A copy of the phase and the generation under the lock.
    published: AtomicU64,
    /// Written before an open phase is published.
    open_until: Mark,
    /// Openings without a window's time of being closed between them. Written under the lock.
    openings: AtomicU32,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    phase: Phase,
    generation: u64,
}

#[derive(Debug)]
enum Phase {
    /// Since a recovery, or from the start.
    Closed {
        since: Option<Nanos>,
    },
    Open {
        until: Nanos,
    },
    HalfOpen(HalfOpen),
}

/// What a snapshot shows.
#[derive(Debug)]
pub(crate) struct Numbers {
    pub(crate) state: State,
    pub(crate) counts: Cause,
    pub(crate) openings: u32,
    pub(crate) open_for: Duration,
    pub(crate) probes_in_flight: u32,
}

impl ThreeState {
    pub(crate) fn new(config: &ThreeStateConfig, window: Window<3>, origin: Instant) -> Self {
        let inner = Inner { phase: Phase::Closed { since: None }, generation: 0 };
        Self {
            config: config.clone(),
            origin,
            window,
            last_trouble: Mark::default(),
            consecutive_failures: AtomicU32::new(0),
            published: AtomicU64::new(published(State::Closed, 0)),
            open_until: Mark::default(),
            openings: AtomicU32::new(0),
            inner: Mutex::new(inner),
        }
    }

    pub(crate) fn admit(&self, now: Instant, random: f64) -> Admission {
        let (state, generation) = self.published();
        if state == State::Closed {
            return (Ok(Permit::counted(generation, Probe::No, random)), None);
        }
        let at = Nanos::since(self.origin, now);
        if state == State::Open
            && let Some(until) = self.open_until.get().filter(|until| at < *until)
        {
            // Told without the lock, which callers of an open breaker would crowd around.
            return (Err(self.refused_until(until, at)), None);
        }
        self.admit_locked(at, random)
    }

    fn admit_locked(&self, at: Nanos, random: f64) -> Admission {
        let mut inner = lock(&self.inner);
        let mut edge = None;
        if let Phase::Open { until } = inner.phase
            && at >= until
        {
            self.enter(&mut inner, Phase::HalfOpen(HalfOpen::new(at)));
            edge = Some(Edge::HalfOpened { openings: self.openings.load(Ordering::Relaxed) });
        }
        if let Phase::HalfOpen(half_open) = &mut inner.phase {
            if half_open.admit(&self.config, at) {
                return (Ok(Permit::counted(inner.generation, Probe::Waiting, random)), edge);
            }
            if let Some(verdict) = half_open.timed_out(&self.config, at) {
                edge = Some(self.judge(&mut inner, verdict, at, random));
            }
        }
        let decision = match &inner.phase {
            Phase::Closed { .. } => Ok(Permit::counted(inner.generation, Probe::No, random)),
            Phase::Open { until } => Err(self.refused_until(*until, at)),
            Phase::HalfOpen(half_open) => {
                let reason = Reason::HalfOpen { probes_in_flight: half_open.in_flight() };
                Err(Refusal { reason, retry_after: None })
            }
        };
        (decision, edge)
    }

    /// The answer to a probe has begun: it may go on for long, and the peer has answered.
    pub(crate) fn answering(&self, permit: &mut Permit) {
        if permit.probe == Probe::Waiting {
            permit.probe = Probe::Answering;
            let mut inner = lock(&self.inner);
            if let Some(half_open) = inner.half_open(permit) {
                half_open.answering();
            }
        }
    }

    pub(crate) fn record(&self, now: Instant, permit: &Permit, outcome: Outcome, elapsed: Duration) -> Option<Edge> {
        if permit.probe != Probe::No {
            return self.record_probe(now, permit, outcome, elapsed);
        }
        if self.published() != (State::Closed, permit.generation) || !self.count(now, outcome, elapsed) {
            return None;
        }
        let cause = self.trouble(now)?;
        let mut inner = lock(&self.inner);
        let is_closed = matches!(inner.phase, Phase::Closed { .. }) && inner.generation == permit.generation;
        is_closed.then(|| self.open(&mut inner, Nanos::since(self.origin, now), cause, permit.random))
    }

    /// Counts a call, without any consequence, and tells whether it counts.
    pub(crate) fn count(&self, now: Instant, outcome: Outcome, elapsed: Duration) -> bool {
        let is_failure = match outcome {
            Outcome::Success => false,
            Outcome::Failure | Outcome::Retryable => true,
            Outcome::CallersFault | Outcome::Cancelled => return false,
        };
        self.window.add(now, CALLS, 1);
        let is_slow = self.is_slow(elapsed);
        if is_slow {
            self.window.add(now, SLOW_CALLS, 1);
        }
        if is_failure {
            self.window.add(now, FAILURES, 1);
            self.consecutive_failures.fetch_add(1, Ordering::Relaxed);
        } else if self.consecutive_failures.load(Ordering::Relaxed) > 0 {
            self.consecutive_failures.store(0, Ordering::Relaxed);
        }
        if is_failure || is_slow {
            self.last_trouble.set(Nanos::since(self.origin, now));
        }
        true
    }

    /// Whether a call would surely be refused.
    pub(crate) fn is_open(&self, now: Instant) -> bool {
        let at = Nanos::since(self.origin, now);
        match self.published().0 {
            State::Closed => false,
            State::Open => self.open_until.get().is_some_and(|until| at < until),
            _ => match &lock(&self.inner).phase {
                Phase::Closed { .. } => false,
                Phase::Open { until } => at < *until,
                Phase::HalfOpen(half_open) => half_open.is_full(&self.config, at),
            },
        }
    }

    pub(crate) fn reset(&self) {
        let mut inner = lock(&self.inner);
        self.openings.store(0, Ordering::Relaxed);
        self.open_until.clear();
        self.close(&mut inner, None);
    }

    pub(crate) fn numbers(&self, now: Instant) -> Numbers {
        let at = Nanos::since(self.origin, now);
        let inner = lock(&self.inner);
        let (open_for, probes_in_flight) = match &inner.phase {
            Phase::Closed { .. } => (Duration::ZERO, 0),
            Phase::Open { until } => (until.after(at), 0),
            Phase::HalfOpen(half_open) => (Duration::ZERO, half_open.in_flight()),
        };
        let openings = self.openings.load(Ordering::Relaxed);
        Numbers { state: inner.phase.state(), counts: self.counts(now), openings, open_for, probes_in_flight }
    }

    fn record_probe(&self, now: Instant, permit: &Permit, outcome: Outcome, elapsed: Duration) -> Option<Edge> {
        let mut inner = lock(&self.inner);
        let half_open = inner.half_open(permit)?;
        let verdict = half_open.ended(&self.config, permit.probe, outcome, self.is_slow(elapsed))?;
        Some(self.judge(&mut inner, verdict, Nanos::since(self.origin, now), permit.random))
    }

    /// The counts of the window, if they are reason to open.
    fn trouble(&self, now: Instant) -> Option<Cause> {
        let in_a_row = self.config.consecutive_failures;
        let has_row = in_a_row.is_some_and(|limit| self.consecutive_failures.load(Ordering::Relaxed) >= limit);
        if has_row {
            return Some(self.counts(now));
        }
        let at = Nanos::since(self.origin, now);
        self.last_trouble.get().filter(|last| at.after(*last) < self.window.span())?;
        let counts = self.counts(now);
        let is_enough = counts.calls >= u64::from(self.config.calls_min);
        (is_enough && is_bad(&self.config, counts.calls, counts.failures, counts.slow_calls)).then_some(counts)
    }

    fn counts(&self, now: Instant) -> Cause {
        let [calls, failures, slow_calls] = self.window.sum(now);
        let consecutive_failures = self.consecutive_failures.load(Ordering::Relaxed);
        Cause { calls, failures, slow_calls, consecutive_failures }
    }

    fn is_slow(&self, elapsed: Duration) -> bool {
        self.config.slow_call.is_some_and(|slow| elapsed >= slow)
    }

    fn judge(&self, inner: &mut Inner, verdict: Verdict, at: Nanos, random: f64) -> Edge {
        match verdict {
            Verdict::Bad(cause) => self.open(inner, at, cause, random),
            Verdict::Good(cause) => {
                self.close(inner, Some(at));
                Edge::Closed { cause }
            }
        }
    }

    fn open(&self, inner: &mut Inner, at: Nanos, cause: Cause, random: f64) -> Edge {
        let is_in_a_row = match inner.phase {
            Phase::Closed { since } => since.is_some_and(|since| at.after(since) < self.window.span()),
            Phase::Open { .. } | Phase::HalfOpen(_) => true,
        };
        let openings = if is_in_a_row { self.openings.load(Ordering::Relaxed).saturating_add(1) } else { 1 };
        let open_for = open_time(&self.config, openings, random);
        let until = at.plus(open_for);
        self.openings.store(openings, Ordering::Relaxed);
        self.open_until.set(until);
        self.enter(inner, Phase::Open { until });
        Edge::Opened { cause, openings, open_for }
    }

    fn close(&self, inner: &mut Inner, since: Option<Nanos>) {
        self.window.clear();
        self.last_trouble.clear();
        self.consecutive_failures.store(0, Ordering::Relaxed);
        self.enter(inner, Phase::Closed { since });
    }

    fn enter(&self, inner: &mut Inner, phase: Phase) {
        inner.phase = phase;
        inner.generation += 1;
        self.published.store(published(inner.phase.state(), inner.generation), Ordering::Release);
    }

    fn published(&self) -> (State, u64) {
        let word = self.published.load(Ordering::Acquire);
        let state = match word & 3 {
            0 => State::Closed,
            1 => State::Open,
            _ => State::HalfOpen,
        };
        (state, word >> 2)
    }

    fn refused_until(&self, until: Nanos, at: Nanos) -> Refusal {
        let reason = Reason::Open { openings: self.openings.load(Ordering::Relaxed) };
        Refusal { reason, retry_after: Some(until.after(at)) }
    }
}

impl Inner {
    /// The half-open phase that a permit belongs to, if it still lasts.
    fn half_open(&mut self, permit: &Permit) -> Option<&mut HalfOpen> {
        match &mut self.phase {
            Phase::HalfOpen(half_open) if self.generation == permit.generation => Some(half_open),
            _ => None,
        }
    }
}

impl Phase {
    fn state(&self) -> State {
        match self {
            Self::Closed { .. } => State::Closed,
            Self::Open { .. } => State::Open,
            Self::HalfOpen(_) => State::HalfOpen,
        }
    }
}

/// The phase in the lowest two bits, above it the generation.
fn published(state: State, generation: u64) -> u64 {
    let phase = match state {
        State::Open => 1,
        State::HalfOpen => 2,
        _ => 0,
    };
    generation << 2 | phase
}

/// Whether one of the rates has reached its limit.
fn is_bad(config: &ThreeStateConfig, calls: u64, failures: u64, slow_calls: u64) -> bool {
    let share = |n: u64| n as f64 / calls as f64;
    share(failures) >= config.failure_rate || share(slow_calls) >= config.slow_call_rate
}

/// Doubles with each opening in a row; the jitter only shortens it, so that the maximum is one.
fn open_time(config: &ThreeStateConfig, openings: u32, random: f64) -> Duration {
    let doubled = config.open_time.saturating_mul(1 << openings.saturating_sub(1).min(30));
    doubled.min(config.open_time_max).mul_f64(1.0 - config.jitter * random)
}
