//! Good calls at a fixed rate, and how long they take.
//!
//! Each call begins when it is due, whether those before it have ended or not, and is timed from then
//! on, so that a service that stalls is seen to stall. A thread of its own makes them, so that what
//! this process does beside does not delay them.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use seawall_trace::{Scope, TraceContext, TraceId};
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tonic::Status;

/// Failures that are kept to be told; they are counted all the same.
const FAILURES_MAX: usize = 5;

/// What came of calls.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    latencies: Vec<Duration>,
    pub(crate) failed: u64,
    /// Some of those that failed.
    pub(crate) failures: Vec<Failure>,
    /// How long after it was due a call was begun, at most: for so long this machine stood still.
    pub(crate) late: Duration,
}

/// A call that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) trace: TraceId,
    pub(crate) reason: String,
}

impl Outcomes {
    pub(crate) fn calls(&self) -> u64 {
        self.latencies.len() as u64
    }

    /// The latency that so many of a hundred calls do not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100);
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.failed += other.failed;
        self.failures.extend(other.failures);
        self.failures.truncate(FAILURES_MAX);
        self.late = self.late.max(other.late);
    }

    fn add(&mut self, late: Duration, latency: Duration, trace: TraceId, outcome: Result<(), Status>) {
        self.late = self.late.max(late);
        self.latencies.push(latency);
        if let Err(status) = outcome {
            self.failed += 1;
            if self.failures.len() < FAILURES_MAX {
                let reason = format!("{:?}: {}", status.code(), status.message());
                self.failures.push(Failure { trace, reason });
            }
        }
    }
}

/// Calls that go on until this is dropped.
#[derive(Debug)]
pub(crate) struct Load {
    outcomes: Arc<Mutex<Outcomes>>,
    _running: oneshot::Sender<()>,
}

impl Load {
    /// Begins to make them, `per_second`. `caller` is asked once for what makes the call of a number.
    pub(crate) fn start<C, F>(per_second: u32, caller: impl FnOnce() -> C + Send + 'static) -> Result<Self>
    where
        C: Fn(u64) -> F,
        F: Future<Output = Result<(), Status>> + Send + 'static,
    {
        let outcomes = Arc::new(Mutex::new(Outcomes::default()));
        let (running, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let added = Arc::clone(&outcomes);
        let work = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = call_at(per_second, caller(), added) => {}
                    _ = ended => {}
                }
            });
        };
        std::thread::Builder::new().name("load".into()).spawn(work).context("no thread can be started")?;
        Ok(Self { outcomes, _running: running })
    }

    /// What came of the calls that have ended since this was last asked.
    pub(crate) fn take(&self) -> Outcomes {
        std::mem::take(&mut *self.outcomes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What came of the calls that end within this time.
    pub(crate) async fn window(&self, window: Duration) -> Outcomes {
        self.take();
        sleep(window).await;
        self.take()
    }
}

async fn call_at<C, F>(per_second: u32, call: C, outcomes: Arc<Mutex<Outcomes>>)
where
    C: Fn(u64) -> F,
    F: Future<Output = Result<(), Status>> + Send + 'static,
{
    let mut due = interval(Duration::from_secs(1) / per_second.max(1));
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for n in 0.. {
        let (due, call, outcomes): (Instant, F, _) = (due.tick().await, call(n), Arc::clone(&outcomes));
        let late = due.elapsed();
        tokio::spawn(async move {
            // A trace of its own, so that the services' logs can be asked about it.
            let (context, mut call) = (TraceContext::root(false), pin!(call));
            let mut scope = Scope::new(context);
            let outcome = poll_fn(|cx| scope.enter(|| call.as_mut().poll(cx))).await;
            let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
            outcomes.add(late, due.elapsed(), context.trace_id, outcome);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_those_who_called() {
        let mut outcomes = Outcomes::default();
        assert_eq!(outcomes.percentile(99), Duration::ZERO);
        let trace = TraceContext::root(false).trace_id;
        (1..=200).for_each(|ms| outcomes.add(Duration::ZERO, Duration::from_millis(ms), trace, Ok(())));
        assert_eq!(outcomes.percentile(99), Duration::from_millis(198));
        assert_eq!(outcomes.percentile(50), Duration::from_millis(100));
    }
}
