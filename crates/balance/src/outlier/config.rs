//! The settings of outlier detection, with the names and defaults of gRFC A50.

use std::time::Duration;

use crate::config::{ConfigError, Mistakes};
use crate::outlier::Outlier;

/// When endpoints are ejected, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct OutlierConfig {
    /// The time between sweeps: 10 s.
    pub interval: Duration,
    /// How long an endpoint is ejected, times how often it was: 30 s.
    pub base_ejection_time: Duration,
    /// The longest time, unless the base is longer: 300 s.
    pub max_ejection_time: Duration,
    /// The share of endpoints that may be ejected at a time, 0 to 100; one always may be: 10.
    pub max_ejection_percent: u32,
    /// Ejects endpoints whose success rate is far under the mean. `None` turns it off.
    pub success_rate: Option<SuccessRate>,
    /// Ejects endpoints with more than a fixed share of failures. `None` turns it off.
    pub failure_percentage: Option<FailurePercentage>,
    /// Ejects an endpoint with that many failures and no success in between: 5, as in Envoy. One that
    /// has returned and had no success since is ejected again by the first. `None` turns it off.
    pub consecutive_failures: Option<u32>,
}

/// The success-rate algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuccessRate {
    /// How many thousandths of a standard deviation under the mean is too few: 1900.
    pub stdev_factor: u32,
    /// The chance in percent that an outlier is ejected: 100.
    pub enforcement_percent: u32,
    /// How many endpoints need the volume for there to be a mean: 5.
    pub minimum_hosts: u32,
    /// Calls in an interval from which an endpoint is looked at: 100.
    pub request_volume: u32,
}

/// The failure-percentage algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailurePercentage {
    /// More failures than this many percent are too many: 85.
    pub threshold_percent: u32,
    /// The chance in percent that an outlier is ejected: 100.
    pub enforcement_percent: u32,
    /// How many endpoints there have to be: 5.
    pub minimum_hosts: u32,
    /// Calls in an interval from which an endpoint is looked at: 50.
    pub request_volume: u32,
}

impl Default for OutlierConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            base_ejection_time: Duration::from_secs(30),
            max_ejection_time: Duration::from_secs(300),
            max_ejection_percent: 10,
            success_rate: Some(SuccessRate::default()),
            failure_percentage: Some(FailurePercentage::default()),
            consecutive_failures: Some(5),
        }
    }
}

impl Default for SuccessRate {
    fn default() -> Self {
        Self { stdev_factor: 1_900, enforcement_percent: 100, minimum_hosts: 5, request_volume: 100 }
    }
}

impl Default for FailurePercentage {
    fn default() -> Self {
        Self { threshold_percent: 85, enforcement_percent: 100, minimum_hosts: 5, request_volume: 50 }
    }
}

impl Outlier {
    /// # Errors
    /// Names each value that is not allowed.
    pub fn try_new(config: OutlierConfig) -> Result<Self, ConfigError> {
        let mut mistakes = Mistakes::default();
        config.check(&mut mistakes);
        mistakes.into_result()?;
        Ok(Self::new(config))
    }
}

impl OutlierConfig {
    pub(crate) fn check(&self, mistakes: &mut Mistakes) {
        mistakes.positive("outlier.interval", self.interval);
        mistakes.positive("outlier.base_ejection_time", self.base_ejection_time);
        mistakes.percent("outlier.max_ejection_percent", self.max_ejection_percent);
        if let Some(config) = self.success_rate {
            mistakes.percent("outlier.success_rate.enforcement_percent", config.enforcement_percent);
        }
        if let Some(config) = self.failure_percentage {
            mistakes.percent("outlier.failure_percentage.threshold_percent", config.threshold_percent);
            mistakes.percent("outlier.failure_percentage.enforcement_percent", config.enforcement_percent);
        }
        if let Some(failures) = self.consecutive_failures {
            mistakes.check(failures > 0, "outlier.consecutive_failures", failures, "must be more than 0");
        }
    }
}
