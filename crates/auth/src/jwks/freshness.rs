//! When keys are asked for, and for how long they are good. Without a clock: it is given the time.

use std::time::{Duration, Instant};

/// How often keys are asked for.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// How long after the keys came they are asked for again.
    pub refresh_interval: Duration,
    /// What lies between two attempts, whatever they are for.
    pub refresh_interval_min: Duration,
    /// How long the keys are good that came last. A key that the issuer has withdrawn is believed for
    /// no longer than this.
    pub stale_max: Duration,
}

/// What has been asked for and has come.
///
/// | state | a further attempt may begin |
/// |---|---|
/// | never asked | now |
/// | asking | no; whoever wants keys waits for its end |
/// | asked | `refresh_interval_min` after the last one began |
#[derive(Debug, Clone, Copy)]
pub(super) struct Freshness {
    times: Times,
    began: Option<Instant>,
    is_asking: bool,
    /// When the attempt began whose keys are there: what has changed since is not known.
    came: Option<Instant>,
}

impl Freshness {
    pub(super) fn new(times: Times) -> Self {
        Self { times, began: None, is_asking: false, came: None }
    }

    pub(super) fn begin(&mut self, now: Instant) {
        (self.began, self.is_asking) = (Some(now), true);
    }

    /// Tells until when the keys that came last are good; `now` is the answer where none ever came.
    pub(super) fn end(&mut self, has_succeeded: bool, now: Instant) -> Instant {
        self.is_asking = false;
        if has_succeeded {
            self.came = self.began;
        }
        self.came.map_or(now, |came| came + self.times.stale_max)
    }

    pub(super) fn is_asking(&self) -> bool {
        self.is_asking
    }

    /// Whether an attempt is being made or may be made now, so that it is worth to wait for its end.
    pub(super) fn is_worth_waiting(&self, now: Instant) -> bool {
        self.is_asking || now >= self.earliest(now)
    }

    /// When the next attempt may begin.
    pub(super) fn earliest(&self, now: Instant) -> Instant {
        self.began.map_or(now, |began| began + self.times.refresh_interval_min)
    }

    /// When the next attempt begins if nobody asks for it: at the interval, and after a failure as soon
    /// as it may.
    pub(super) fn due(&self, now: Instant) -> Instant {
        let has_failed = self.came != self.began;
        let by_interval = self.came.map_or(now, |came| came + self.times.refresh_interval);
        if has_failed { self.earliest(now) } else { by_interval.max(self.earliest(now)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times {
        refresh_interval: Duration::from_secs(300),
        refresh_interval_min: Duration::from_secs(10),
        stale_max: Duration::from_secs(3_600),
    };

    #[test]
    fn keys_are_good_until_they_are_stale_and_attempts_keep_their_distance() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut fresh = Freshness::new(TIMES);
        assert!(fresh.is_worth_waiting(at(0)));
        assert_eq!(fresh.due(at(0)), at(0));
        fresh.begin(at(0));
        assert!(fresh.is_worth_waiting(at(3)), "whoever comes meanwhile waits for the same attempt");
        assert_eq!(fresh.end(true, at(3)), at(3_600), "counted from when it was asked for");
        assert!(!fresh.is_worth_waiting(at(9)) && fresh.is_worth_waiting(at(10)));
        assert_eq!(fresh.due(at(3)), at(300));
        fresh.begin(at(300));
        assert_eq!(fresh.end(false, at(301)), at(3_600), "a failure makes no keys good");
        assert_eq!(fresh.due(at(301)), at(310), "after a failure it is tried again as soon as it may be");
    }
}
