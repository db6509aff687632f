//! The leaky bucket: calls above the rate wait their turn in a bounded queue.

use std::time::{Duration, Instant};

use crate::gcra::{Ask, Gcra, Verdict};
use crate::rate::RateConfig;
use crate::sync::AtomicU64;
use crate::{ConfigError, Refused};

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It passes.
    Pass,
    /// It passes later: wait, and ask again as one that [is returning](Ask::is_returning).
    Wait(Wait),
    /// It does not pass.
    Refused(Refused),
}

/// A place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// When its turn comes, counted from now.
    pub after: Duration,
    /// Which place it is, to give it back.
    pub place: u64,
}

/// One leaky bucket, in one atomic word.
///
/// It lets calls pass as a token bucket of the same rate and burst does. A call above the rate waits,
/// if the queue has a place and its turn comes within the time that its caller has left; otherwise it
/// is refused at once, and told when to come back.
///
/// The queue has no list: a place in it is a time, one token after the place before. So a place that
/// is given back in the middle does not move those behind it, who have been told theirs. The last
/// place is free again at once; from any other the token goes, when it falls due, to whoever comes.
#[derive(Debug)]
pub struct LeakyBucket {
    gcra: Gcra,
    queue_max: u32,
    word: AtomicU64,
}

impl LeakyBucket {
    /// An empty bucket. `rate_per_second`, `burst`, `grace` and the queue of the configuration count;
    /// without a queue it is a token bucket.
    ///
    /// # Errors
    /// If the configuration has mistakes.
    pub fn try_new(config: &RateConfig, now: Instant) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self { gcra: config.gcra(now), queue_max: config.queue_max(), word: AtomicU64::new(0) })
    }

    /// Says what becomes of a call.
    pub fn try_take(&self, now: Instant, ask: Ask) -> Decision {
        decision(&self.gcra, self.queue_max, self.gcra.take(&self.word, now, ask))
    }

    /// For a call that waits no longer.
    pub fn give_back(&self, wait: Wait) {
        self.gcra.give_back(&self.word, wait.place);
    }
}

/// What a verdict means where `queue_max` calls can wait. A promise that falls due within the queue
/// is kept by waiting for it.
pub(crate) fn decision(gcra: &Gcra, queue_max: u32, verdict: Verdict) -> Decision {
    match verdict {
        Verdict::Admitted => Decision::Pass,
        Verdict::Promised { after, place } if queue_max > 0 && after <= gcra.token_time(queue_max) => {
            Decision::Wait(Wait { after, place })
        }
        Verdict::Promised { after, .. } => Decision::Refused(Refused { retry_after: after, is_promised: true }),
        Verdict::Beyond { after } => Decision::Refused(Refused { retry_after: after, is_promised: false }),
    }
}
