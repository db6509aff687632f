//! The token bucket: a rate, a burst, and the time of the next token.

use std::time::{Duration, Instant};

use crate::gcra::{Ask, Gcra, Verdict};
use crate::rate::RateConfig;
use crate::sync::{AtomicU64, Ordering};
use crate::{ConfigError, RateKind};

/// A call that is refused, and when it should come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// When the next token comes that is nobody else's, counted from now.
    pub retry_after: Duration,
    /// Whether that token is kept for the caller. If not, coming back is likely to be in vain.
    pub is_promised: bool,
}

/// One token bucket, in one atomic word.
///
/// It lets `burst` calls pass at once and `rate_per_second` from then on. A refused call is told when
/// to come back, each a later time, and passes if it does (`gcra.rs` has the theory and its bounds).
///
/// ```
/// use std::time::{Duration, Instant};
/// use seawall_limit::{Ask, RateConfig, TokenBucket};
///
/// let now = Instant::now();
/// let bucket = TokenBucket::try_new(&RateConfig { rate_per_second: 10.0, burst: 1, ..RateConfig::default() }, now)?;
/// assert!(bucket.try_take(now, Ask::default()).is_ok());
/// let refused = bucket.try_take(now, Ask::default()).unwrap_err();
/// assert_eq!(refused.retry_after.as_millis(), 100);
/// let back = Ask { is_returning: true, ..Ask::default() };
/// assert!(bucket.try_take(now + refused.retry_after, back).is_ok());
/// # Ok::<(), seawall_limit::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct TokenBucket {
    gcra: Gcra,
    word: AtomicU64,
}

impl TokenBucket {
    /// A full bucket. `rate_per_second`, `burst` and `grace` of the configuration count.
    ///
    /// # Errors
    /// If the configuration has mistakes.
    pub fn try_new(config: &RateConfig, now: Instant) -> Result<Self, ConfigError> {
        config.check()?;
        let config = RateConfig { kind: RateKind::TokenBucket, ..config.clone() };
        Ok(Self { gcra: config.gcra(now), word: AtomicU64::new(0) })
    }

    /// Takes a token.
    ///
    /// # Errors
    /// If there is none, with the time at which to come back.
    pub fn try_take(&self, now: Instant, ask: Ask) -> Result<(), Refused> {
        match self.gcra.take(&self.word, now, ask) {
            Verdict::Admitted => Ok(()),
            Verdict::Promised { after, .. } => Err(Refused { retry_after: after, is_promised: true }),
            Verdict::Beyond { after } => Err(Refused { retry_after: after, is_promised: false }),
        }
    }

    /// How many calls would pass now.
    pub fn tokens(&self, now: Instant) -> u64 {
        self.gcra.level(self.word.load(Ordering::Relaxed), now).0
    }
}
