//! A place under the limit, a place in its queue, and the refusal of both.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use seawall_error::{Code, Error, SEAWALL};
use seawall_propagation::Criticality;

use super::ConcurrencyLimiter;
use super::admission::Key;

/// A place under the limit. Dropping it gives the place back and teaches nothing.
#[derive(Debug)]
#[must_use = "the place is given back when the permit is dropped"]
pub struct Permit {
    pub(super) limiter: Arc<ConcurrencyLimiter>,
    pub(super) is_stream: bool,
    pub(super) started: Instant,
}

impl Permit {
    /// The call has been served: its latency teaches the limit.
    pub fn served(self, now: Instant) {
        self.learn(now, false);
    }

    /// The call has ended in a way that tells of overload, such as its deadline. It has taken at least
    /// as long as until `now`, which counts as its latency.
    pub fn overloaded(self, now: Instant) {
        self.learn(now, true);
    }

    fn learn(self, now: Instant, was_overloaded: bool) {
        if !self.is_stream {
            self.limiter.learn(now, now.saturating_duration_since(self.started), was_overloaded);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limiter.admission(self.is_stream).leave();
    }
}

/// What became of a call that may wait.
#[derive(Debug)]
#[must_use = "a permit or a place in the queue is given back when it is dropped"]
pub enum Verdict {
    /// It has a place.
    Admitted(Permit),
    /// It has a place in the queue.
    Waiting(Waiter),
    /// It has neither.
    Refused(Shed),
}

/// A place in the queue. Dropping it leaves the queue, and gives the place back if there was one
/// already.
#[derive(Debug)]
pub struct Waiter {
    pub(super) limiter: Arc<ConcurrencyLimiter>,
    pub(super) criticality: Criticality,
    /// None once the place in the queue is given up or has become a permit.
    pub(super) key: Option<Key>,
    pub(super) give_up_at: Instant,
}

impl Waiter {
    /// When to [`give_up`](Self::give_up): the longest wait is over, or the call would not be served
    /// before its deadline.
    pub fn give_up_at(&self) -> Instant {
        self.give_up_at
    }

    /// Ready with the permit when it is this call's turn. Pending for ever after that.
    pub fn poll_permit(&mut self, cx: &Context<'_>, now: Instant) -> Poll<Permit> {
        match self.key {
            Some(key) if self.limiter.calls.poll(key, cx.waker()) => {
                self.key = None;
                Poll::Ready(self.limiter.permit(now, false))
            }
            Some(_) | None => Poll::Pending,
        }
    }

    /// Leaves the queue.
    ///
    /// # Errors
    /// The refusal, unless the call's turn has just come: then it is the permit.
    pub fn give_up(mut self, now: Instant) -> Result<Permit, Shed> {
        if self.key.take().is_some_and(|key| !self.limiter.calls.stop_waiting(key)) {
            return Ok(self.limiter.permit(now, false));
        }
        Err(self.limiter.shed(self.criticality, false, self.limiter.calls.load_for(self.criticality)))
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let Some(key) = self.key.take()
            && !self.limiter.calls.stop_waiting(key)
        {
            self.limiter.calls.leave();
        }
    }
}

/// The refusal of a call, with the state that caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{in_flight} calls are in flight and {waiting} wait; {} calls may be {limit}", criticality.as_str())]
pub struct Shed {
    /// Of the call.
    pub criticality: Criticality,
    /// The limit for calls of this criticality.
    pub limit: u32,
    /// Calls of all criticalities that are being served.
    pub in_flight: u32,
    /// Calls of all criticalities that wait.
    pub waiting: u32,
    /// When it may be worth coming back: the time in which the calls that are here now are served.
    pub retry_after: Duration,
}

impl From<Shed> for Error {
    fn from(shed: Shed) -> Self {
        SEAWALL
            .error(Code::Unavailable, "OVERLOADED", "the service has as many calls as it can serve in time")
            .with_retry_after(shed.retry_after)
    }
}
