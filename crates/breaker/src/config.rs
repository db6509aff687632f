//! The settings of a breaker, and what is wrong with them.

use std::fmt;
use std::time::Duration;

use seawall_window::{BUCKETS_MAX, WIDTH_MAX, WIDTH_MIN};

/// The settings of a [`Breaker`](crate::Breaker).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// Which breaker it is.
    pub kind: Kind,
}

/// The kinds of breaker.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Refuses a growing share of the calls while a peer fails.
    Adaptive(AdaptiveConfig),
    /// Refuses all calls for a while after a peer has failed.
    ThreeState(ThreeStateConfig),
    /// Refuses none and counts none, unless it is forced open.
    Off,
}

/// The adaptive throttle: it needs no tuning for the rate of calls, and its peer is never without
/// some calls to recover by.
impl Default for Kind {
    fn default() -> Self {
        Self::Adaptive(AdaptiveConfig::default())
    }
}

/// Settings of the adaptive throttle.
///
/// The defaults are those of go-zero, which has refined the throttle of Google's SRE book (chapter
/// "Handling Overload") in production.
#[derive(Debug, Clone, PartialEq)]
pub struct AdaptiveConfig {
    /// The time over which calls are counted. 10 s.
    pub window: Duration,
    /// How many buckets the window has, 1 to 1,024. 40.
    pub buckets: usize,
    /// How many calls are let through for each that the peer accepts, while it accepts some. 1.5.
    pub k: f64,
    /// The same when the peer has accepted none in the whole window, 1 to `k`. 1.1.
    pub k_min: f64,
    /// How many calls may fail in a window without any consequence. 5.
    pub protection: u32,
    /// A call is let through when none has been for this long. 1 s.
    pub force_pass_after: Duration,
}

impl Default for AdaptiveConfig {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            buckets: 40,
            k: 1.5,
            k_min: 1.1,
            protection: 5,
            force_pass_after: Duration::from_secs(1),
        }
    }
}

/// Settings of the three-state breaker. The defaults are those of resilience4j, where nothing else is
/// said.
#[derive(Debug, Clone, PartialEq)]
pub struct ThreeStateConfig {
    /// The time over which calls are counted. 10 s.
    pub window: Duration,
    /// How many buckets the window has, 1 to 1,024. 10.
    pub buckets: usize,
    /// With fewer calls than this in the window, rates mean nothing. At least 1. 20.
    pub calls_min: u32,
    /// Opens when this share of the calls has failed, over 0 to 1. 0.5.
    pub failure_rate: f64,
    /// A call is slow if its answer took this long to begin. None: no call is slow, because only the
    /// method knows what is slow for it (resilience4j has a minute, longer than most deadlines).
    pub slow_call: Option<Duration>,
    /// Opens when this share of the calls was slow, over 0 to 1. 0.5 (resilience4j: 1).
    pub slow_call_rate: f64,
    /// Opens after this many failures without a success between them. At least 1. None: at a high
    /// rate of calls a hiccup of a millisecond is many failures in a row.
    pub consecutive_failures: Option<u32>,
    /// How long it stays open the first time. At least 1 ms. 5 s (resilience4j: a minute, too long
    /// for a peer that restarts in seconds; the back-off is for those that do not).
    pub open_time: Duration,
    /// The open time doubles with each opening in a row up to this, at most a day. 60 s.
    pub open_time_max: Duration,
    /// Up to this share of the open time is taken off at random, 0 to less than 1, so that breakers
    /// that opened together do not ask together. 0.2.
    pub jitter: f64,
    /// How many calls may be under way at a time when it is half-open, and how many must end well for
    /// it to close. 1 to 1,000. 10.
    pub probes: u32,
    /// When all places of probes have been taken for this long, a probe that has no answer has
    /// failed, and one whose answer has begun (a long stream) is a success. At least 1 ms. 10 s.
    pub probe_timeout: Duration,
}

impl Default for ThreeStateConfig {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            buckets: 10,
            calls_min: 20,
            failure_rate: 0.5,
            slow_call: None,
            slow_call_rate: 0.5,
            consecutive_failures: None,
            open_time: Duration::from_secs(5),
            open_time_max: Duration::from_secs(60),
            jitter: 0.2,
            probes: 10,
            probe_timeout: Duration::from_secs(10),
        }
    }
}

/// The most probes.
const PROBES_MAX: u32 = 1_000;

/// The longest time that a setting may be.
const TIME_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Every mistake in a [`Config`]: the field, its value and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    mistakes: Vec<String>,
}

impl ConfigError {
    pub(crate) fn one(mistake: String) -> Self {
        Self { mistakes: vec![mistake] }
    }

    /// The mistakes, such as `probes = 0: must be 1 to 1000`.
    pub fn mistakes(&self) -> &[String] {
        &self.mistakes
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.mistakes.join("; "))
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let mut checks = Checks::default();
        match &self.kind {
            Kind::Adaptive(config) => config.check(&mut checks),
            Kind::ThreeState(config) => config.check(&mut checks),
            Kind::Off => {}
        }
        if checks.0.is_empty() { Ok(()) } else { Err(ConfigError { mistakes: checks.0 }) }
    }
}

impl AdaptiveConfig {
    fn check(&self, checks: &mut Checks) {
        checks.window(self.window, self.buckets);
        checks.one("k_min", self.k_min, self.k_min >= 1.0 && self.k_min <= 100.0, "must be 1 to 100");
        checks.one("k", self.k, self.k >= self.k_min && self.k <= 100.0, "must be k_min to 100");
        checks.time("force_pass_after", self.force_pass_after);
    }
}

impl ThreeStateConfig {
    fn check(&self, checks: &mut Checks) {
        checks.window(self.window, self.buckets);
        checks.one("calls_min", self.calls_min, self.calls_min > 0, "must be at least 1");
        checks.rate("failure_rate", self.failure_rate);
        checks.rate("slow_call_rate", self.slow_call_rate);
        if let Some(slow_call) = self.slow_call {
            checks.time("slow_call", slow_call);
        }
        if let Some(failures) = self.consecutive_failures {
            checks.one("consecutive_failures", failures, failures > 0, "must be at least 1");
        }
        checks.time("open_time", self.open_time);
        let is_longer = (self.open_time..=TIME_MAX).contains(&self.open_time_max);
        checks.one("open_time_max", self.open_time_max, is_longer, "must be open_time to 86400s");
        checks.one("jitter", self.jitter, (0.0..1.0).contains(&self.jitter), "must be 0 to less than 1");
        checks.one("probes", self.probes, (1..=PROBES_MAX).contains(&self.probes), "must be 1 to 1000");
        checks.time("probe_timeout", self.probe_timeout);
    }
}

#[derive(Default)]
struct Checks(Vec<String>);

impl Checks {
    fn one(&mut self, field: &str, value: impl fmt::Debug, is_allowed: bool, allowed: &str) {
        if !is_allowed {
            self.0.push(format!("{field} = {value:?}: {allowed}"));
        }
    }

    fn rate(&mut self, field: &str, rate: f64) {
        self.one(field, rate, rate > 0.0 && rate <= 1.0, "must be more than 0 and at most 1");
    }

    fn time(&mut self, field: &str, time: Duration) {
        self.one(field, time, (Duration::from_millis(1)..=TIME_MAX).contains(&time), "must be 1ms to 86400s");
    }

    fn window(&mut self, window: Duration, buckets: usize) {
        let has_buckets = (1..=BUCKETS_MAX).contains(&buckets);
        self.one("buckets", buckets, has_buckets, &format!("must be 1 to {BUCKETS_MAX}"));
        // The number of buckets is small, so that nothing is cut off.
        let count = buckets.clamp(1, BUCKETS_MAX) as u32;
        let fits = (WIDTH_MIN..=WIDTH_MAX).contains(&(window / count));
        self.one("window", window, fits, &format!("must be {WIDTH_MIN:?} to {WIDTH_MAX:?} for each of its buckets"));
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::Breaker;

    fn mistakes(kind: Kind) -> Vec<String> {
        let made = Breaker::try_new("peer", "Method", Config { kind }, Instant::now());
        made.map_or_else(|error| error.mistakes().to_vec(), |_| Vec::new())
    }

    #[test]
    fn the_defaults_are_allowed() {
        for kind in [Kind::default(), Kind::ThreeState(ThreeStateConfig::default()), Kind::Off] {
            assert_eq!(mistakes(kind), Vec::<String>::new());
        }
    }

    #[test]
    fn all_mistakes_of_a_throttle_are_named_at_once() {
        let config = AdaptiveConfig {
            window: Duration::ZERO,
            buckets: 0,
            k: 0.5,
            k_min: f64::NAN,
            protection: 0,
            force_pass_after: Duration::ZERO,
        };
        let expected = [
            "buckets = 0: must be 1 to 1024",
            "window = 0ns: must be 1ms to 3600s for each of its buckets",
            "k_min = NaN: must be 1 to 100",
            "k = 0.5: must be k_min to 100",
            "force_pass_after = 0ns: must be 1ms to 86400s",
        ];
        assert_eq!(mistakes(Kind::Adaptive(config)), expected);
    }

    #[test]
    fn all_mistakes_of_a_three_state_breaker_are_named_at_once() {
        let config = ThreeStateConfig {
            window: Duration::from_secs(40_000),
            buckets: 10,
            calls_min: 0,
            failure_rate: 0.0,
            slow_call: Some(Duration::ZERO),
            slow_call_rate: 1.5,
            consecutive_failures: Some(0),
            open_time: Duration::from_secs(5),
            open_time_max: Duration::from_secs(4),
            jitter: 1.0,
            probes: 0,
            probe_timeout: Duration::from_micros(1),
        };
        let expected = [
            "window = 40000s: must be 1ms to 3600s for each of its buckets",
            "calls_min = 0: must be at least 1",
            "failure_rate = 0.0: must be more than 0 and at most 1",
            "slow_call_rate = 1.5: must be more than 0 and at most 1",
            "slow_call = 0ns: must be 1ms to 86400s",
            "consecutive_failures = 0: must be at least 1",
            "open_time_max = 4s: must be open_time to 86400s",
            "jitter = 1.0: must be 0 to less than 1",
            "probes = 0: must be 1 to 1000",
            "probe_timeout = 1µs: must be 1ms to 86400s",
        ];
        assert_eq!(mistakes(Kind::ThreeState(config)), expected);
    }
}
