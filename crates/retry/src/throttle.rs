//! Retry throttling by tokens, per peer (gRFC A6).

use crate::error::{ConfigError, Mistakes};
use crate::sync::{AtomicU32, Ordering};

/// A token, in the unit that is counted in: the ratio has three decimal places.
const TOKEN: u32 = 1000;

/// Settings of a [`Throttle`].
#[derive(Debug, Clone, PartialEq)]
pub struct ThrottleConfig {
    /// How many tokens there are at first and at most: 1 to 1000. A failure costs one.
    pub tokens_max: u32,
    /// What a success gives back: 0.001 to 1; further decimal places are ignored.
    pub token_ratio: f64,
}

/// The values of gRFC A6: retries stop where more than about a tenth of the attempts fail.
impl Default for ThrottleConfig {
    fn default() -> Self {
        Self { tokens_max: 10, token_ratio: 0.1 }
    }
}

/// The tokens of one peer. There are retries while more than half of them are left.
///
/// Each call that ends well adds `token_ratio`, each attempt that fails in a way that could be
/// retried takes one. Nothing waits for tokens: without them the failure is the answer.
#[derive(Debug)]
pub struct Throttle {
    millitokens: AtomicU32,
    max: u32,
    ratio: u32,
}

impl Throttle {
    /// A full throttle.
    ///
    /// # Errors
    /// If a setting is not in its range.
    pub fn try_new(config: &ThrottleConfig) -> Result<Self, ConfigError> {
        let mut mistakes = Mistakes::default();
        let throttle = Self::checked(config, &mut mistakes);
        mistakes.into_result(|| "retry throttle".into())?;
        Ok(throttle)
    }

    pub(crate) fn checked(config: &ThrottleConfig, mistakes: &mut Mistakes) -> Self {
        let ThrottleConfig { tokens_max, token_ratio } = *config;
        mistakes.check((1..=1000).contains(&tokens_max), "tokens_max", tokens_max, "1 to 1000");
        mistakes.check((0.001..=1.0).contains(&token_ratio), "token_ratio", token_ratio, "0.001 to 1");
        let max = tokens_max.min(1000) * TOKEN;
        // A ratio such as 0.29 is a little less than that in binary.
        let ratio = (token_ratio * f64::from(TOKEN) + 1e-6) as u32;
        Self { millitokens: AtomicU32::new(max), max, ratio }
    }

    /// A call ended well.
    pub fn succeeded(&self) {
        // Mostly there is nothing to give back, and then a read does not take the cache line away
        // from the other cores.
        if self.millitokens.load(Ordering::Relaxed) < self.max {
            self.update(|tokens| tokens.saturating_add(self.ratio).min(self.max));
        }
    }

    /// An attempt failed in a way that could be retried, or its peer wants no retry. Returns whether
    /// tokens are left for a retry.
    pub fn failed(&self) -> bool {
        self.is_over_threshold(self.update(|tokens| tokens.saturating_sub(TOKEN)))
    }

    /// Whether tokens are left for another attempt.
    pub fn allows(&self) -> bool {
        self.is_over_threshold(self.millitokens.load(Ordering::Relaxed))
    }

    /// The tokens that are left.
    pub fn tokens(&self) -> f64 {
        f64::from(self.millitokens.load(Ordering::Relaxed)) / f64::from(TOKEN)
    }

    /// The most that there can be.
    pub fn tokens_max(&self) -> u32 {
        self.max / TOKEN
    }

    fn is_over_threshold(&self, millitokens: u32) -> bool {
        millitokens > self.max / 2
    }

    /// Changes the tokens and returns what they are then.
    fn update(&self, change: impl Fn(u32) -> u32) -> u32 {
        let mut tokens = self.millitokens.load(Ordering::Relaxed);
        loop {
            let next = change(tokens);
            match self.millitokens.compare_exchange_weak(tokens, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return next,
                Err(now) => tokens = now,
            }
        }
    }
}
