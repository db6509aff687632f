//! What all calls to one peer may retry together.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use crate::error::{ConfigError, Mistakes};
use crate::sync::{AtomicUsize, Ordering};
use crate::{Budget, BudgetConfig, Throttle, ThrottleConfig};

/// The most that may be set aside for all replay buffers of a peer.
const REPLAY_BYTES_MAX: usize = 1 << 30;

/// Settings of an [`Allowance`].
#[derive(Debug, Clone, PartialEq)]
pub struct AllowanceConfig {
    /// Stops retries where the peer fails.
    pub throttle: ThrottleConfig,
    /// Bounds what retries and hedges add to the peer's load.
    pub budget: BudgetConfig,
    /// How much of the requests of all calls is kept to be sent again: 1 byte to 1 GiB. A call that
    /// does not fit goes on without a second attempt.
    pub replay_bytes_max: usize,
}

impl Default for AllowanceConfig {
    fn default() -> Self {
        // The bound per channel of grpc-java.
        let replay_bytes_max = 16 << 20;
        Self { throttle: ThrottleConfig::default(), budget: BudgetConfig::default(), replay_bytes_max }
    }
}

/// What all calls to one peer may retry and hedge together: the throttle's tokens, the budget, and
/// the memory for requests that may have to be sent again.
#[derive(Debug)]
pub struct Allowance {
    peer: Arc<str>,
    throttle: Throttle,
    budget: Budget,
    replay_bytes: AtomicUsize,
    replay_bytes_max: usize,
}

impl Allowance {
    /// A full one. `peer` is its name in metrics and errors.
    ///
    /// # Errors
    /// If settings are not in their range; the error names all of them.
    pub fn try_new(peer: impl Into<Arc<str>>, config: &AllowanceConfig, now: Instant) -> Result<Self, ConfigError> {
        let peer = peer.into();
        let mut mistakes = Mistakes::default();
        let throttle = Throttle::checked(&config.throttle, &mut mistakes);
        let budget = Budget::checked(&config.budget, now, &mut mistakes);
        let replay_bytes_max = config.replay_bytes_max;
        let is_good = (1..=REPLAY_BYTES_MAX).contains(&replay_bytes_max);
        mistakes.check(is_good, "replay_bytes_max", replay_bytes_max, "1 to 1073741824 (1 GiB)");
        mistakes.into_result(|| format!("what calls to {peer} may retry"))?;
        Ok(Self { peer, throttle, budget, replay_bytes: AtomicUsize::new(0), replay_bytes_max })
    }

    /// The peer's name.
    pub fn peer(&self) -> &Arc<str> {
        &self.peer
    }

    /// The tokens.
    pub fn throttle(&self) -> &Throttle {
        &self.throttle
    }

    /// The budget.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Sets memory for a replay buffer aside.
    pub(crate) fn reserve(&self, bytes: usize) -> bool {
        let before = self.replay_bytes.fetch_add(bytes, Ordering::Relaxed);
        let is_room = before.saturating_add(bytes) <= self.replay_bytes_max;
        if !is_room {
            self.release(bytes);
        }
        is_room
    }

    pub(crate) fn release(&self, bytes: usize) {
        self.replay_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// What is left right now.
    pub fn snapshot(&self, now: Instant) -> AllowanceSnapshot {
        let (calls, retries) = self.budget.counts(now);
        AllowanceSnapshot {
            peer: self.peer.clone(),
            tokens: self.throttle.tokens(),
            tokens_max: self.throttle.tokens_max(),
            is_throttled: !self.throttle.allows(),
            budget_calls: calls,
            budget_attempts_made: retries,
            budget_attempts_left: self.budget.left(now),
            replay_buffers_bytes: self.replay_bytes.load(Ordering::Relaxed),
        }
    }
}

/// The state of an [`Allowance`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AllowanceSnapshot {
    /// The peer's name.
    #[serde(serialize_with = "text")]
    pub peer: Arc<str>,
    /// The throttle's tokens.
    pub tokens: f64,
    /// The most tokens that there can be.
    pub tokens_max: u32,
    /// Whether too few tokens are left for a retry.
    pub is_throttled: bool,
    /// The calls of the budget's window.
    pub budget_calls: u64,
    /// The attempts of the window that were not the first of their call.
    pub budget_attempts_made: u64,
    /// How many more there may be.
    pub budget_attempts_left: u64,
    /// What all replay buffers hold.
    pub replay_buffers_bytes: usize,
}

pub(crate) fn text<S: serde::Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}
