//! How a limit follows what was measured: four algorithms behind one enum.

use super::aimd::{Aimd, AimdConfig};
use super::fixed::FixedConfig;
use super::gradient2::{Gradient2, Gradient2Config};
use super::vegas::{Vegas, VegasConfig};
use crate::config_error::Mistakes;

/// Which algorithm finds the limit, and its settings.
#[derive(Debug, Clone, PartialEq)]
pub enum Algorithm {
    /// Follows the trend of the mean latency.
    Gradient2(Gradient2Config),
    /// Follows the distance to the least latency.
    Vegas(VegasConfig),
    /// Grows until calls are late, then backs off.
    Aimd(AimdConfig),
    /// Stays.
    Fixed(FixedConfig),
}

impl Default for Algorithm {
    fn default() -> Self {
        Self::Gradient2(Gradient2Config::default())
    }
}

impl Algorithm {
    pub(super) fn check(&self, mistakes: &mut Mistakes) {
        match self {
            Self::Gradient2(config) => config.check(mistakes),
            Self::Vegas(config) => config.check(mistakes),
            Self::Aimd(config) => config.check(mistakes),
            Self::Fixed(config) => config.check(mistakes),
        }
    }

    pub(super) fn limit_initial(&self) -> u32 {
        match self {
            Self::Gradient2(config) => config.limit_initial,
            Self::Vegas(config) => config.limit_initial,
            Self::Aimd(config) => config.limit_initial,
            Self::Fixed(config) => config.limit,
        }
    }

    /// The name, for people.
    pub(super) const fn as_str(&self) -> &'static str {
        match self {
            Self::Gradient2(_) => "gradient2",
            Self::Vegas(_) => "vegas",
            Self::Aimd(_) => "aimd",
            Self::Fixed(_) => "fixed",
        }
    }
}

pub(super) fn check_bounds(mistakes: &mut Mistakes, initial: u32, min: u32, max: u32) {
    mistakes.check(min > 0, "algorithm.limit_min", min, "at least 1");
    mistakes.check(max >= min, "algorithm.limit_max", max, "at least limit_min");
    let is_inside = min <= initial && initial <= max;
    mistakes.check(is_inside, "algorithm.limit_initial", initial, "limit_min to limit_max");
}

/// What a window of calls has shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Measured {
    /// The mean latency in seconds, more than 0.
    pub(super) rtt_s: f64,
    /// How much latencies differ: their standard deviation in seconds.
    pub(super) deviation_s: f64,
    /// The most calls in flight at the end of one of them, itself included.
    pub(super) in_flight_max: u32,
    /// Whether a call ended in a way that tells of overload.
    pub(super) was_overloaded: bool,
    /// Whether the limit has kept a call out.
    pub(super) is_binding: bool,
}

/// The state of an algorithm.
#[derive(Debug)]
pub(super) enum Limit {
    Gradient2(Gradient2),
    Vegas(Vegas),
    Aimd(Aimd),
    Fixed(u32),
}

impl Limit {
    pub(super) fn new(algorithm: &Algorithm) -> Self {
        match algorithm {
            Algorithm::Gradient2(config) => Self::Gradient2(Gradient2::new(config.clone())),
            Algorithm::Vegas(config) => Self::Vegas(Vegas::new(config.clone())),
            Algorithm::Aimd(config) => Self::Aimd(Aimd::new(config.clone())),
            Algorithm::Fixed(config) => Self::Fixed(config.limit),
        }
    }

    /// The limit after a window.
    pub(super) fn update(&mut self, measured: &Measured) -> u32 {
        match self {
            Self::Gradient2(gradient2) => gradient2.update(measured),
            Self::Vegas(vegas) => vegas.update(measured),
            Self::Aimd(aimd) => aimd.update(measured),
            Self::Fixed(limit) => *limit,
        }
    }
}

#[cfg(test)]
mod tests;
