//! Making the calls, at the pace of a schedule or of callers who wait for their answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tonic::transport::Channel;

use super::schedule::Schedule;
use super::tally::Tally;
use crate::call::{Prepared, Trace};

/// How late a timer may wake us without that being anybody's fault: they are of whole milliseconds. What is later
/// counts as the time of the call.
const TIMER_SLACK: Duration = Duration::from_millis(2);
/// One call of so many is recorded as a trace.
const TRACES_RATIO: u64 = 100;

/// When calls are made.
#[derive(Debug)]
pub(super) enum Pace {
    /// At times that are fixed before.
    Open(Schedule),
    /// Each caller after its last answer; they begin one after another over the ramp.
    Closed { ramp: Duration },
}

/// Everything that calls need. Clones share it.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) channels: Vec<Channel>,
    pub(super) prepared: Prepared,
    pub(super) tally: Arc<Tally>,
    pub(super) in_flight_max: usize,
    pub(super) duration: Duration,
}

impl Run {
    /// Makes all calls and waits for their ends, each of which is bounded by its timeout. Answers how long that
    /// took. Dropping it begins no further call.
    pub(super) async fn execute(self, pace: Pace, permits: Arc<Semaphore>) -> Result<Duration> {
        let (run, began) = (Arc::new(self), Instant::now());
        match pace {
            Pace::Open(schedule) => run.open(schedule, began, &permits).await?,
            Pace::Closed { ramp } => run.closed(ramp, began).await?,
        }
        Ok(began.elapsed())
    }

    async fn open(self: &Arc<Self>, schedule: Schedule, began: Instant, permits: &Arc<Semaphore>) -> Result<()> {
        for number in 0.. {
            let due = schedule.due(number);
            if due >= self.duration {
                break;
            }
            let due = began + due;
            let now = Instant::now();
            if now < due {
                sleep_until(due.into()).await;
            }
            let counted_from = counted_from(due, Instant::now());
            let permit = match Arc::clone(permits).try_acquire_owned() {
                Ok(permit) => permit,
                Err(_) => {
                    self.tally.waited();
                    Arc::clone(permits).acquire_owned().await?
                }
            };
            tokio::spawn(Arc::clone(self).call(number, counted_from, Some(permit)));
        }
        let all = u32::try_from(self.in_flight_max)?;
        drop(permits.acquire_many(all).await?);
        Ok(())
    }

    async fn closed(self: &Arc<Self>, ramp: Duration, began: Instant) -> Result<()> {
        let callers = self.in_flight_max as u64;
        let mut tasks = JoinSet::new();
        for caller in 0..callers {
            let run = Arc::clone(self);
            let begin = began + ramp.mul_f64(caller as f64 / callers as f64);
            tasks.spawn(async move {
                sleep_until(begin.into()).await;
                let mut number = caller;
                while began.elapsed() < run.duration {
                    Arc::clone(&run).call(number, Instant::now(), None).await;
                    number += callers;
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended?;
        }
        Ok(())
    }

    /// One call, from the making of its message to its end.
    async fn call(self: Arc<Self>, number: u64, counted_from: Instant, permit: Option<OwnedSemaphorePermit>) {
        let trace = Trace::new(number.is_multiple_of(TRACES_RATIO));
        let channel = self.channels[usize::try_from(number).unwrap_or_default() % self.channels.len()].clone();
        self.tally.began();
        let ended = match self.prepared.call(number) {
            Ok(call) => call.finish(channel, &trace).await,
            Err(error) => Err(tonic::Status::invalid_argument(format!("{error:#}"))),
        };
        self.tally.ended(counted_from.elapsed(), ended, &trace);
        drop(permit);
    }
}

/// From when a call counts that was due and is made now.
fn counted_from(due: Instant, now: Instant) -> Instant {
    if now.saturating_duration_since(due) <= TIMER_SLACK { now } else { due }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_is_made_late_counts_from_when_it_was_due() {
        let due = Instant::now();
        let (timer, late) = (due + Duration::from_millis(1), due + Duration::from_millis(50));
        assert_eq!(counted_from(due, timer), timer, "which is no fault of the server");
        assert_eq!(counted_from(due, late), due);
    }
}
