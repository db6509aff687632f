//! A retry budget: a share of the calls of the last seconds (Finagle's `RetryBudget`).
//!
//! Where the throttle stops retries because the peer fails, the budget bounds what they add to its
//! load, however they come about.

use std::time::{Duration, Instant};

use crate::error::{ConfigError, Mistakes};
use crate::sync::{AtomicU64, Ordering};

/// How finely the window moves: what is older than nine to ten tenths of it is forgotten.
const SLICES: usize = 10;

/// Settings of a [`Budget`].
#[derive(Debug, Clone, PartialEq)]
pub struct BudgetConfig {
    /// How long a call counts: 1 s to 60 s.
    pub ttl: Duration,
    /// What share of the calls may be retried: 0 to 1.
    pub ratio: f64,
    /// How many retries a second there may be beside, so that a client that calls rarely can retry
    /// too: 0 to 1000. All of those of one `ttl` may be made at once.
    pub min_per_second: u32,
}

/// The values of Finagle.
impl Default for BudgetConfig {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(10), ratio: 0.2, min_per_second: 10 }
    }
}

/// The budget of one peer: within any `ttl`, at most `ratio` × calls + `min_per_second` × `ttl`
/// attempts that are not the first.
///
/// Lock-free, and never exceeded: a withdrawal is written down before it is compared with what is
/// allowed, and struck out again if it was too much. So of two that contend for the very last place
/// both may be refused.
#[derive(Debug)]
pub struct Budget {
    origin: Instant,
    slice: Duration,
    ratio_thousandths: u64,
    reserve: u64,
    calls: [AtomicU64; SLICES],
    retries: [AtomicU64; SLICES],
}

impl Budget {
    /// A budget in which nothing has happened yet. `now` is the start of its time.
    ///
    /// # Errors
    /// If a setting is not in its range.
    pub fn try_new(config: &BudgetConfig, now: Instant) -> Result<Self, ConfigError> {
        let mut mistakes = Mistakes::default();
        let budget = Self::checked(config, now, &mut mistakes);
        mistakes.into_result(|| "retry budget".into())?;
        Ok(budget)
    }

    pub(crate) fn checked(config: &BudgetConfig, now: Instant, mistakes: &mut Mistakes) -> Self {
        let BudgetConfig { ttl, ratio, min_per_second } = *config;
        let is_ttl = (Duration::from_secs(1)..=Duration::from_secs(60)).contains(&ttl);
        mistakes.check(is_ttl, "budget_ttl", ttl, "1 s to 60 s");
        mistakes.check((0.0..=1.0).contains(&ratio), "budget_ratio", ratio, "0 to 1");
        mistakes.check(min_per_second <= 1000, "budget_min_per_second", min_per_second, "0 to 1000");
        if ratio == 0.0 && min_per_second == 0 {
            mistakes.add("budget_ratio = 0.0 and budget_min_per_second = 0: one of them must be more than 0".into());
        }
        Self {
            origin: now,
            slice: ttl / SLICES as u32,
            ratio_thousandths: (ratio * 1000.0).round() as u64,
            reserve: (f64::from(min_per_second) * ttl.as_secs_f64()) as u64,
            calls: std::array::from_fn(|_| AtomicU64::new(0)),
            retries: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// A call was made: its first attempt.
    pub fn deposit(&self, now: Instant) {
        let epoch = self.epoch(now);
        add(&self.calls[slot(epoch)], epoch);
    }

    /// Takes one more attempt out of the budget, if it is in there.
    pub fn withdraw(&self, now: Instant) -> bool {
        let epoch = self.epoch(now);
        let here = &self.retries[slot(epoch)];
        if !add(here, epoch) {
            return false;
        }
        let is_allowed = sum(&self.retries, epoch) <= self.allowed(epoch);
        if !is_allowed {
            take_back(here, epoch);
        }
        is_allowed
    }

    /// How many more attempts the budget has.
    pub fn left(&self, now: Instant) -> u64 {
        let epoch = self.epoch(now);
        self.allowed(epoch).saturating_sub(sum(&self.retries, epoch))
    }

    /// The calls of the window, and the attempts beside the first.
    pub(crate) fn counts(&self, now: Instant) -> (u64, u64) {
        let epoch = self.epoch(now);
        (sum(&self.calls, epoch), sum(&self.retries, epoch))
    }

    fn allowed(&self, epoch: u32) -> u64 {
        self.reserve + sum(&self.calls, epoch) * self.ratio_thousandths / 1000
    }

    /// The number of the slice, from 1: a slot that was never written has 0.
    fn epoch(&self, now: Instant) -> u32 {
        let slices = now.saturating_duration_since(self.origin).as_nanos() / self.slice.as_nanos().max(1);
        u32::try_from(slices + 1).unwrap_or(u32::MAX)
    }
}

fn slot(epoch: u32) -> usize {
    epoch as usize % SLICES
}

/// A slot is the number of its slice in the upper half and a count in the lower, so that a slot is
/// emptied and counted in with one write.
const fn pack(epoch: u32, count: u32) -> u64 {
    (epoch as u64) << 32 | count as u64
}

const fn unpack(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

/// Counts one. False if the slot has gone over to a later slice: whoever comes this late is forgotten.
fn add(slot: &AtomicU64, epoch: u32) -> bool {
    update(slot, |then, count| match then {
        then if then == epoch => Some(pack(epoch, count.saturating_add(1))),
        then if then < epoch => Some(pack(epoch, 1)),
        _ => None,
    })
}

fn take_back(slot: &AtomicU64, epoch: u32) {
    update(slot, |then, count| (then == epoch).then(|| pack(epoch, count.saturating_sub(1))));
}

fn update(slot: &AtomicU64, change: impl Fn(u32, u32) -> Option<u64>) -> bool {
    // Two that withdraw in neighbouring slices must not both miss the other.
    let mut word = slot.load(Ordering::SeqCst);
    loop {
        let (epoch, count) = unpack(word);
        let Some(next) = change(epoch, count) else { return false };
        match slot.compare_exchange_weak(word, next, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => return true,
            Err(now) => word = now,
        }
    }
}

/// What the slots of the last ten slices hold. A slot of a later slice counts too: it is of a thread
/// whose clock was read a little later.
fn sum(slots: &[AtomicU64; SLICES], epoch: u32) -> u64 {
    let oldest = epoch.saturating_sub(SLICES as u32 - 1);
    let counts = slots.iter().map(|slot| unpack(slot.load(Ordering::SeqCst)));
    counts.filter(|(then, _)| *then >= oldest).map(|(_, count)| u64::from(count)).sum()
}
