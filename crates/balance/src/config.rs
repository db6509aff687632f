//! The settings of a balancer, and what is wrong with them.

use std::fmt::{self, Debug, Display};
use std::time::Duration;

use http::HeaderName;

use crate::outlier::OutlierConfig;
use crate::subset::Subset;

/// How endpoints are picked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// By what a call's endpoint is picked: by load.
    pub pick: Pick,
    /// The decay of the time that an endpoint takes ([`Ewma`](crate::Ewma)): 10 s.
    pub decay: Duration,
    /// How long an endpoint may be without calls while less loaded ones have some: 1 s. Then it is
    /// tried with one.
    pub force_pick_after: Duration,
    /// Ejects endpoints that fail. `None` turns it off.
    pub outlier: Option<OutlierConfig>,
    /// Uses only some of the endpoints. `None` uses all.
    pub subset: Option<Subset>,
}

/// By what the endpoint of a call is picked.
#[derive(Debug, Clone, PartialEq)]
pub enum Pick {
    /// The less loaded of two drawn at random.
    LeastLoaded,
    /// By the value of a header of the request, such as a user's id: calls with the same value go to
    /// the same endpoint, and each further attempt of one to the next. Those without the header go by
    /// load.
    Hash {
        /// The header.
        header: HeaderName,
        /// How much more than its share of the calls in flight an endpoint may have before a call
        /// goes to the next one: over 1; 1.25 is a good start.
        load_factor: f64,
    },
}

impl Default for Config {
    fn default() -> Self {
        Self {
            pick: Pick::LeastLoaded,
            decay: Duration::from_secs(10),
            force_pick_after: Duration::from_secs(1),
            outlier: Some(OutlierConfig::default()),
            subset: None,
        }
    }
}

impl Config {
    /// # Errors
    /// Names each value that is not allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut mistakes = Mistakes::default();
        mistakes.positive("decay", self.decay);
        mistakes.positive("force_pick_after", self.force_pick_after);
        if let Pick::Hash { load_factor, .. } = &self.pick {
            let is_allowed = *load_factor > 1.0 && load_factor.is_finite();
            mistakes.check(is_allowed, "pick.load_factor", load_factor, "must be more than 1");
        }
        if let Some(subset) = self.subset {
            mistakes.check(subset.size > 0, "subset.size", subset.size, "must be more than 0");
        }
        if let Some(outlier) = &self.outlier {
            outlier.check(&mut mistakes);
        }
        mistakes.into_result()
    }
}

/// Settings that are not allowed: each with its value and what is allowed, as in
/// `subset.size = 0: must be more than 0`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError(Vec<String>);

impl ConfigError {
    /// One text for each mistake.
    pub fn mistakes(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

/// The longest time that a setting may be: none is out of the clock's reach.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Collects mistakes, so that all are told at once.
#[derive(Debug, Default)]
pub(crate) struct Mistakes(Vec<String>);

impl Mistakes {
    pub(crate) fn check(&mut self, is_allowed: bool, field: &str, value: impl Debug, allowed: &str) {
        if !is_allowed {
            self.0.push(format!("{field} = {value:?}: {allowed}"));
        }
    }

    pub(crate) fn positive(&mut self, field: &str, value: Duration) {
        self.check(!value.is_zero() && value <= TIME_MAX, field, value, "must be more than 0s and at most 86400s");
    }

    pub(crate) fn percent(&mut self, field: &str, value: u32) {
        self.check(value <= 100, field, value, "must be 0 to 100");
    }

    pub(crate) fn into_result(self) -> Result<(), ConfigError> {
        if self.0.is_empty() { Ok(()) } else { Err(ConfigError(self.0)) }
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_allowed_and_every_mistake_is_named() {
        assert_eq!(Config::default().validate(), Ok(()));
        let outlier = OutlierConfig {
            interval: Duration::ZERO,
            base_ejection_time: Duration::MAX,
            max_ejection_percent: 101,
            success_rate: Some(crate::SuccessRate { enforcement_percent: 200, ..Default::default() }),
            failure_percentage: Some(crate::FailurePercentage {
                threshold_percent: 101,
                enforcement_percent: 101,
                ..Default::default()
            }),
            consecutive_failures: Some(0),
            ..OutlierConfig::default()
        };
        let config = Config {
            pick: Pick::Hash { header: HeaderName::from_static("user-id"), load_factor: 1.0 },
            decay: Duration::ZERO,
            force_pick_after: Duration::ZERO,
            outlier: Some(outlier),
            subset: Some(Subset { client_id: 0, size: 0 }),
        };
        let error = config.validate().unwrap_err();
        let expected = [
            "decay = 0ns: must be more than 0s and at most 86400s",
            "force_pick_after = 0ns: must be more than 0s and at most 86400s",
            "pick.load_factor = 1.0: must be more than 1",
            "subset.size = 0: must be more than 0",
            "outlier.interval = 0ns: must be more than 0s and at most 86400s",
            "outlier.base_ejection_time = 18446744073709551615.999999999s: must be more than 0s and at most 86400s",
            "outlier.max_ejection_percent = 101: must be 0 to 100",
            "outlier.success_rate.enforcement_percent = 200: must be 0 to 100",
            "outlier.failure_percentage.threshold_percent = 101: must be 0 to 100",
            "outlier.failure_percentage.enforcement_percent = 101: must be 0 to 100",
            "outlier.consecutive_failures = 0: must be more than 0",
        ];
        assert_eq!(error.mistakes().collect::<Vec<_>>(), expected);
        assert_eq!(error.to_string(), expected.join("; "));
    }
}
