//! A policy in the making: what the keys set, over the defaults of the crates whose settings they are.

use std::time::Duration;

use seawall_breaker::{AdaptiveConfig, Config as BreakerConfig, Kind, ThreeStateConfig};
use seawall_classify::Outcome;
use seawall_limit::{RateConfig, RateKind};
use seawall_propagation::Criticality;
use seawall_retry::{HedgeConfig, HedgeDelay, RetryConfig};
use tonic::Code;

use crate::settings::Settings;

/// What the keys set.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) budget: Option<Duration>,
    pub(crate) criticality: Criticality,
    pub(crate) outcomes: Vec<(Code, Outcome)>,
    pub(crate) retry: RetryConfig,
    pub(crate) hedge: HedgeDraft,
    pub(crate) breaker: BreakerDraft,
    pub(crate) rate: RateDraft,
}

/// The keys `hedge.*`.
#[derive(Debug)]
pub(crate) struct HedgeDraft {
    pub(crate) attempts_max: u32,
    pub(crate) is_fixed: bool,
    pub(crate) fixed_delay: Duration,
    pub(crate) percentile: f64,
    pub(crate) initial_delay: Duration,
    pub(crate) min_delay: Duration,
    pub(crate) max_delay: Duration,
    pub(crate) non_fatal_codes: Vec<Code>,
    pub(crate) replay_bytes_max: usize,
}

/// The keys `breaker.*`: each kind's own, of which the chosen one's count.
#[derive(Debug, Default)]
pub(crate) struct BreakerDraft {
    pub(crate) kind: BreakerKind,
    pub(crate) adaptive: AdaptiveConfig,
    pub(crate) three_state: ThreeStateConfig,
}

/// What `breaker.kind` can be.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BreakerKind {
    #[default]
    Adaptive,
    ThreeState,
    Off,
}

/// The keys `rate.*`.
#[derive(Debug, Default)]
pub(crate) struct RateDraft {
    pub(crate) kind: Bucket,
    pub(crate) per_second: Option<f64>,
    pub(crate) queue_max: u32,
    pub(crate) config: RateConfig,
}

/// What `rate.kind` can be.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bucket {
    #[default]
    Token,
    Leaky,
    Off,
}

/// How many calls may wait in a leaky bucket whose queue nobody has sized: a second's worth of the
/// default rate.
const QUEUE_MAX: u32 = 100;

/// How long a fixed hedge waits where nobody has said: as long as an observed one before it has
/// observed anything.
const FIXED_DELAY: Duration = Duration::from_millis(200);

impl Draft {
    /// The defaults with settings over them.
    pub(crate) fn new(settings: &Settings) -> Self {
        let mut draft = Self {
            budget: None,
            criticality: Criticality::default(),
            outcomes: Vec::new(),
            // One attempt is no retry, and no hedge.
            retry: RetryConfig { attempts_max: 1, ..RetryConfig::default() },
            hedge: HedgeDraft::new(HedgeConfig::default()),
            breaker: BreakerDraft::default(),
            rate: RateDraft { queue_max: QUEUE_MAX, ..RateDraft::default() },
        };
        for (key, setting) in settings.iter() {
            key.kind.apply(&mut draft, &setting.value);
        }
        let Self { outcomes, retry, hedge, .. } = &mut draft;
        for (key, codes) in [("retry.codes", &mut retry.codes), ("hedge.non_fatal_codes", &mut hedge.non_fatal_codes)] {
            if settings.get(key).is_none() {
                as_they_are_meant(codes, outcomes);
            }
        }
        draft
    }

    pub(crate) fn retry(&self) -> Option<RetryConfig> {
        (self.retry.attempts_max != 1).then(|| self.retry.clone())
    }

    pub(crate) fn hedge(&self) -> Option<HedgeConfig> {
        let HedgeDraft { percentile, initial_delay, min_delay, max_delay, .. } = self.hedge;
        let delay = if self.hedge.is_fixed {
            HedgeDelay::Fixed(self.hedge.fixed_delay)
        } else {
            HedgeDelay::Observed { percentile, initial: initial_delay, min: min_delay, max: max_delay }
        };
        (self.hedge.attempts_max != 1).then(|| HedgeConfig {
            attempts_max: self.hedge.attempts_max,
            delay,
            non_fatal_codes: self.hedge.non_fatal_codes.clone(),
            replay_bytes_max: self.hedge.replay_bytes_max,
        })
    }

    pub(crate) fn breaker(&self) -> BreakerConfig {
        let kind = match self.breaker.kind {
            BreakerKind::Adaptive => Kind::Adaptive(self.breaker.adaptive.clone()),
            BreakerKind::ThreeState => Kind::ThreeState(self.breaker.three_state.clone()),
            BreakerKind::Off => Kind::Off,
        };
        BreakerConfig { kind }
    }

    pub(crate) fn rate(&self) -> Option<RateConfig> {
        let kind = match self.rate.kind {
            Bucket::Token => RateKind::TokenBucket,
            Bucket::Leaky => RateKind::LeakyBucket { queue_max: self.rate.queue_max },
            Bucket::Off => return None,
        };
        let rate_per_second = self.rate.per_second?;
        Some(RateConfig { rate_per_second, kind, ..self.rate.config.clone() })
    }
}

/// Where nobody has named the codes after which there is another attempt, they are those that mean so.
fn as_they_are_meant(codes: &mut Vec<Code>, outcomes: &[(Code, Outcome)]) {
    codes.retain(|code| outcomes.iter().all(|(meant, _)| meant != code));
    codes.extend(outcomes.iter().filter(|(_, outcome)| *outcome == Outcome::Retryable).map(|(code, _)| *code));
}

impl HedgeDraft {
    fn new(defaults: HedgeConfig) -> Self {
        let HedgeConfig { delay, non_fatal_codes, replay_bytes_max, .. } = defaults;
        let mut draft = Self {
            attempts_max: 1,
            is_fixed: false,
            fixed_delay: FIXED_DELAY,
            percentile: 0.0,
            initial_delay: FIXED_DELAY,
            min_delay: Duration::ZERO,
            max_delay: Duration::ZERO,
            non_fatal_codes,
            replay_bytes_max,
        };
        match delay {
            HedgeDelay::Fixed(delay) => draft.fixed_delay = delay,
            HedgeDelay::Observed { percentile, initial, min, max } => {
                (draft.percentile, draft.initial_delay, draft.min_delay, draft.max_delay) =
                    (percentile, initial, min, max);
            }
        }
        draft
    }
}
