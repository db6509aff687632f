//! Outlier detection: which endpoints fail so much more than the others that they get no calls for
//! a while.
//!
//! gRFC A50, with its success-rate and failure-percentage algorithms, run once an interval. Both need
//! a volume of calls, which an endpoint that the balancer has learnt to avoid never reaches; so there
//! is Envoy's third one as well, `consecutive failures`, which is checked as they happen.
//!
//! The states of an endpoint: in use → ejected (an algorithm; multiplier + 1) → on probation (at the
//! first sweep after base · multiplier, at most the maximum) → in use (a call succeeds), or ejected
//! again at once (it fails, and consecutive failures count). Each sweep in use or on probation takes 1
//! off the multiplier.
//!
//! Where it departs from the text of A50: an endpoint that is ejected is not ejected again by the end
//! of calls that it had before, and no endpoint is ejected once the share of ejected ones *is* the
//! maximum (the text says: exceeds it; gRPC for Java and Go do as we do).

mod config;
mod tracker;

use std::time::{Duration, Instant};

pub use config::{FailurePercentage, OutlierConfig, SuccessRate};
pub use tracker::Tracker;
use tracker::Volume;

/// What found an endpoint to be an outlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detection {
    /// Its success rate is far under that of the others.
    SuccessRate,
    /// Its failures are more than a fixed share.
    FailurePercentage,
    /// Its last calls all failed.
    ConsecutiveFailures,
}

impl Detection {
    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SuccessRate => "success_rate",
            Self::FailurePercentage => "failure_percentage",
            Self::ConsecutiveFailures => "consecutive_failures",
        }
    }
}

/// What was done about an endpoint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Action {
    /// It gets no calls, until the first sweep after this time.
    Ejected(Duration),
    /// It is an outlier, and stays in use because as many are ejected as may be.
    Overflow,
    /// It is an outlier, and stays in use because not all are to be ejected.
    Spared,
    /// It is in use again.
    Returned,
}

/// An endpoint for which something was decided, with the numbers that caused it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// The index of its tracker.
    pub index: usize,
    /// What was done.
    pub action: Action,
    /// Why; of one that returns, why it was ejected is not kept.
    pub detection: Option<Detection>,
    /// Successful calls of the interval.
    pub successes: u64,
    /// Failed calls of the interval.
    pub failures: u64,
    /// Failures since the last success.
    pub consecutive_failures: u32,
    /// What its success rate had to be, from 0 to 1, or its failures in percent; zero where it was neither.
    pub threshold: f64,
    /// How often it was ejected, less the sweeps since.
    pub multiplier: u32,
}

/// The algorithms.
#[derive(Debug, Clone)]
pub struct Outlier {
    config: OutlierConfig,
}

impl Outlier {
    pub(crate) fn new(config: OutlierConfig) -> Self {
        Self { config }
    }

    /// A call to an endpoint has ended. True if that makes it one for
    /// [`check_consecutive`](Self::check_consecutive). Lock-free.
    pub fn record(&self, tracker: &Tracker, is_success: bool) -> bool {
        let failures = tracker.record(is_success);
        self.config
            .consecutive_failures
            .is_some_and(|limit| failures == limit || failures == 1 && tracker.is_on_probation())
    }

    /// Ejects endpoints whose last calls all failed. For as soon as [`record`](Self::record) says so.
    ///
    /// `trackers` are those of all endpoints.
    pub fn check_consecutive(&self, now: Instant, trackers: &[&Tracker]) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        // Of fewer than two endpoints there is none to turn to.
        let Some(limit) = self.config.consecutive_failures.filter(|_| trackers.len() >= 2) else { return verdicts };
        for (index, tracker) in trackers.iter().enumerate() {
            let limit = if tracker.is_on_probation() { 1 } else { limit };
            if !tracker.is_ejected() && tracker.consecutive_failures() >= limit {
                let found = Found { index, detection: Detection::ConsecutiveFailures, threshold: 0.0 };
                verdicts.push(self.judge(now, trackers, found, tracker.volume(), true));
            }
        }
        verdicts
    }

    /// What is to be done each [`interval`](OutlierConfig::interval): counts the calls since the last
    /// sweep, ejects outliers and returns those whose time is over.
    ///
    /// `trackers` are those of all endpoints; `random` gives numbers in \[0, 1). Sweeps and checks are
    /// not to run at the same time.
    pub fn sweep(&self, now: Instant, trackers: &[&Tracker], mut random: impl FnMut() -> f64) -> Vec<Verdict> {
        let volumes: Vec<Volume> = trackers.iter().map(|tracker| tracker.swap()).collect();
        let mut verdicts = Vec::new();
        for (found, enforcement_percent) in
            [self.success_rate(&volumes), self.failure_percentage(&volumes)].into_iter().flatten()
        {
            // A number per outlier, drawn only when it is about to be ejected, as A50 has it.
            for found in found {
                if !trackers[found.index].is_ejected() {
                    let mut enforced = || random() * 100.0 < f64::from(enforcement_percent);
                    let is_enforced = self.is_full(trackers) || enforced();
                    verdicts.push(self.judge(now, trackers, found, volumes[found.index], is_enforced));
                }
            }
        }
        verdicts.extend(self.check_consecutive(now, trackers));
        for (index, tracker) in trackers.iter().enumerate() {
            let mut ejection = tracker.ejection();
            match ejection.at {
                None => ejection.multiplier = ejection.multiplier.saturating_sub(1),
                Some(at) if now > at + self.ejection_time(ejection.multiplier) => {
                    ejection.at = None;
                    let multiplier = ejection.multiplier;
                    drop(ejection);
                    tracker.set_ejected(false);
                    verdicts.push(verdict(index, Action::Returned, None, volumes[index], tracker, 0.0, multiplier));
                }
                Some(_) => {}
            }
        }
        verdicts
    }

    /// How long until an ejected endpoint may return; `None` if it is in use.
    pub fn remaining(&self, now: Instant, tracker: &Tracker) -> Option<Duration> {
        let ejection = *tracker.ejection();
        Some((ejection.at? + self.ejection_time(ejection.multiplier)).saturating_duration_since(now))
    }

    fn success_rate(&self, volumes: &[Volume]) -> Option<(Vec<Found>, u32)> {
        let config = self.config.success_rate?;
        let counted =
            || volumes.iter().enumerate().filter(|(_, volume)| volume.total() >= u64::from(config.request_volume));
        let count = counted().count();
        if count < config.minimum_hosts as usize {
            return None;
        }
        let rate = |volume: &Volume| volume.successes as f64 / volume.total().max(1) as f64;
        let mean = counted().map(|(_, volume)| rate(volume)).sum::<f64>() / count as f64;
        let variance = counted().map(|(_, volume)| (rate(volume) - mean).powi(2)).sum::<f64>() / count as f64;
        let threshold = mean - variance.sqrt() * f64::from(config.stdev_factor) / 1e3;
        let outliers = counted().filter(|(_, volume)| rate(volume) < threshold);
        let found = outliers.map(|(index, _)| Found { index, detection: Detection::SuccessRate, threshold }).collect();
        Some((found, config.enforcement_percent))
    }

    fn failure_percentage(&self, volumes: &[Volume]) -> Option<(Vec<Found>, u32)> {
        let config = self.config.failure_percentage?;
        if volumes.len() < config.minimum_hosts as usize {
            return None;
        }
        let threshold = f64::from(config.threshold_percent);
        let outliers = volumes.iter().enumerate().filter(|(_, volume)| {
            volume.total() >= u64::from(config.request_volume)
                && volume.failures as f64 * 100.0 / volume.total().max(1) as f64 > threshold
        });
        let found =
            outliers.map(|(index, _)| Found { index, detection: Detection::FailurePercentage, threshold }).collect();
        Some((found, config.enforcement_percent))
    }

    fn judge(&self, now: Instant, trackers: &[&Tracker], found: Found, volume: Volume, is_enforced: bool) -> Verdict {
        let tracker = trackers[found.index];
        let mut ejection = tracker.ejection();
        let action = if !is_enforced {
            Action::Spared
        } else if self.is_full(trackers) {
            Action::Overflow
        } else {
            ejection.at = Some(now);
            ejection.multiplier = ejection.multiplier.saturating_add(1);
            tracker.set_ejected(true);
            Action::Ejected(self.ejection_time(ejection.multiplier))
        };
        let multiplier = ejection.multiplier;
        verdict(found.index, action, Some(found.detection), volume, tracker, found.threshold, multiplier)
    }

    /// Whether as many are ejected as may be: always fewer than one is too few.
    fn is_full(&self, trackers: &[&Tracker]) -> bool {
        let ejected = trackers.iter().filter(|tracker| tracker.is_ejected()).count();
        ejected * 100 >= self.config.max_ejection_percent as usize * trackers.len() && ejected > 0
    }

    fn ejection_time(&self, multiplier: u32) -> Duration {
        let base = self.config.base_ejection_time;
        base.saturating_mul(multiplier).min(base.max(self.config.max_ejection_time))
    }
}

/// An endpoint that an algorithm holds for an outlier.
#[derive(Clone, Copy)]
struct Found {
    index: usize,
    detection: Detection,
    threshold: f64,
}

fn verdict(
    index: usize,
    action: Action,
    detection: Option<Detection>,
    volume: Volume,
    tracker: &Tracker,
    threshold: f64,
    multiplier: u32,
) -> Verdict {
    Verdict {
        index,
        action,
        detection,
        successes: volume.successes,
        failures: volume.failures,
        consecutive_failures: tracker.consecutive_failures(),
        threshold,
        multiplier,
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests;
