//! The probes of a half-open breaker: how many are under way, and what they have said.

use seawall_classify::Outcome;

use crate::ThreeStateConfig;
use crate::decision::{Cause, Probe};
use crate::mark::Nanos;
use crate::three_state::is_bad;

/// Places for `probes` calls. A probe takes one and keeps it when it has ended with an answer or a
/// failure, so that a half-open breaker never lets more calls through than it needs to judge; one
/// that says nothing gives its place back.
#[derive(Debug)]
pub(super) struct HalfOpen {
    /// Probes without a beginning of an answer.
    waiting: u32,
    /// Probes whose answer has begun.
    answering: u32,
    successes: u32,
    failures: u32,
    slow: u32,
    last_admitted: Nanos,
}

/// What the probes have said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Good(Cause),
    Bad(Cause),
}

impl HalfOpen {
    pub(super) fn new(at: Nanos) -> Self {
        Self { waiting: 0, answering: 0, successes: 0, failures: 0, slow: 0, last_admitted: at }
    }

    /// Takes a place, if one is free.
    pub(super) fn admit(&mut self, config: &ThreeStateConfig, at: Nanos) -> bool {
        let is_free = self.in_flight() + self.successes + self.failures < config.probes;
        if is_free {
            self.waiting += 1;
            self.last_admitted = at;
        }
        is_free
    }

    pub(super) fn answering(&mut self) {
        self.waiting -= 1;
        self.answering += 1;
    }

    /// A probe has ended. The verdict is bad as soon as that is sure, and good when all have ended.
    pub(super) fn ended(
        &mut self,
        config: &ThreeStateConfig,
        probe: Probe,
        outcome: Outcome,
        is_slow: bool,
    ) -> Option<Verdict> {
        match probe {
            Probe::No => return None,
            Probe::Waiting => self.waiting -= 1,
            Probe::Answering => self.answering -= 1,
        }
        match outcome {
            Outcome::Success | Outcome::CallersFault => self.successes += 1,
            Outcome::Failure | Outcome::Retryable => self.failures += 1,
            Outcome::Cancelled => return None,
        }
        self.slow += u32::from(is_slow);
        let verdict = self.verdict(config);
        let is_over = self.successes + self.failures == config.probes || matches!(verdict, Verdict::Bad(_));
        is_over.then_some(verdict)
    }

    /// The verdict without the probes that are still under way, once they have had their time.
    pub(super) fn timed_out(&mut self, config: &ThreeStateConfig, at: Nanos) -> Option<Verdict> {
        (at.after(self.last_admitted) >= config.probe_timeout).then(|| {
            self.failures += std::mem::take(&mut self.waiting);
            self.successes += std::mem::take(&mut self.answering);
            self.verdict(config)
        })
    }

    /// Whether no call can pass now.
    pub(super) fn is_full(&self, config: &ThreeStateConfig, at: Nanos) -> bool {
        let taken = self.in_flight() + self.successes + self.failures;
        taken >= config.probes && at.after(self.last_admitted) < config.probe_timeout
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.waiting + self.answering
    }

    fn verdict(&self, config: &ThreeStateConfig) -> Verdict {
        let [calls, failures, slow_calls] = [config.probes, self.failures, self.slow].map(u64::from);
        let cause = Cause { calls, failures, slow_calls, consecutive_failures: 0 };
        if is_bad(config, calls, failures, slow_calls) { Verdict::Bad(cause) } else { Verdict::Good(cause) }
    }
}
