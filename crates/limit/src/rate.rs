//! The rate limiter that a service configures: a bucket, or one for each key, here or on Redis.

mod config;
mod key;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64 as Counter, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::config_error::Mistakes;
use crate::distributed::Shared;
use crate::gcra::{Ask, Gcra, Verdict};
use crate::keyed::Keyed;
use crate::leaky_bucket::{Decision, Wait, decision};
use crate::sync::{AtomicU64, Ordering};
use crate::{ConfigError, Store};

pub use config::{Key, RateConfig, RateKind};
pub use key::CallKey;

/// A limit on the rate of calls.
#[derive(Debug)]
pub struct RateLimiter {
    name: Arc<str>,
    config: RateConfig,
    parts: Vec<key::Part>,
    /// Of this process: where the limit is shared, its part of it.
    gcra: Gcra,
    buckets: Buckets,
    shared: Option<Shared>,
    passed: Counter,
    delayed: Counter,
    refused: Counter,
}

#[derive(Debug)]
enum Buckets {
    One(AtomicU64),
    Keyed(Keyed),
}

impl RateLimiter {
    /// A limiter with full buckets. `name` stands in metrics, in events and on the admin page, and is
    /// what limiters that share a bucket have in common.
    ///
    /// # Errors
    /// If the configuration has mistakes, or is [shared](RateConfig::shared) and there is no `store`.
    pub fn try_new(
        name: &str,
        config: RateConfig,
        store: Option<&Arc<Store>>,
        now: Instant,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let mut mistakes = Mistakes::default();
        mistakes.check(!config.shared || store.is_some(), "shared", config.shared, "false without a store to share by");
        mistakes.into_result()?;
        let shared = store.filter(|_| config.shared).map(|store| Shared::new(Arc::clone(store), name, &config));
        let gcra = match &shared {
            Some(shared) => shared.part_of(&config).gcra(now),
            None => config.gcra(now),
        };
        let buckets = match config.key.as_slice() {
            [] => Buckets::One(AtomicU64::new(0)),
            _ => Buckets::Keyed(Keyed::new(config.keys_max)),
        };
        Ok(Self {
            name: name.into(),
            parts: key::parts(&config.key),
            gcra,
            buckets,
            shared,
            passed: Counter::default(),
            delayed: Counter::default(),
            refused: Counter::default(),
            config,
        })
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What it was made from.
    pub fn config(&self) -> &RateConfig {
        &self.config
    }

    /// What becomes of a call, by this process alone: for a shared limiter that is its
    /// [part](crate::StoreConfig::replicas) of the limit.
    pub fn try_take(&self, key: CallKey, now: Instant, ask: Ask) -> Decision {
        self.decided(self.take_here(key, now, ask).0)
    }

    /// What becomes of a call, by all replicas if the limiter is shared; by this process alone if it
    /// is not, or as long as the store is away. Dropping the future can cost a token.
    pub async fn take(&self, key: CallKey, now: Instant, ask: Ask) -> Decision {
        let Some(shared) = &self.shared else { return self.try_take(key, now, ask) };
        // The part of this process is used up in any case, so that the limit holds when the store
        // goes, and the key keeps its place. Nothing is promised to a call without time.
        let (here, is_known) = self.take_here(key, now, Ask { remaining: Some(Duration::ZERO), ..ask });
        let verdict = match shared.take(is_known.then_some(key), ask).await {
            Some(verdict) => verdict,
            None if here == Verdict::Admitted => here,
            None => self.take_here(key, now, ask).0,
        };
        self.decided(verdict)
    }

    /// Whether [`take`](Self::take) asks the store.
    pub fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// For a call that waits no longer: its place, if nobody is behind it, is free again. A place at
    /// the store is not given back; its token goes, when it falls due, to whoever comes.
    pub fn give_back(&self, key: CallKey, wait: Wait) {
        if self.shared.is_some() {
            return;
        }
        let word = match &self.buckets {
            Buckets::One(word) => word,
            Buckets::Keyed(keyed) => keyed.bucket(key.hash).unwrap_or(keyed.strangers()),
        };
        self.gcra.give_back(word, wait.place);
    }

    /// What this process says, and whether the key has a bucket of its own.
    fn take_here(&self, key: CallKey, now: Instant, ask: Ask) -> (Verdict, bool) {
        match &self.buckets {
            Buckets::One(word) => (self.gcra.take(word, now, ask), true),
            Buckets::Keyed(keyed) => keyed.take(key.hash, &self.gcra, now, ask),
        }
    }

    fn decided(&self, verdict: Verdict) -> Decision {
        let decision = decision(&self.gcra, self.config.queue_max(), verdict);
        let counter = match decision {
            Decision::Pass => &self.passed,
            Decision::Wait(_) => &self.delayed,
            Decision::Refused(_) => &self.refused,
        };
        counter.fetch_add(1, Relaxed);
        decision
    }

    /// What it knows now. Walks through the table of keys.
    pub fn snapshot(&self, now: Instant) -> RateSnapshot {
        let (word, keys) = match &self.buckets {
            Buckets::One(word) => (word, None),
            Buckets::Keyed(keyed) => (keyed.strangers(), Some(keyed)),
        };
        let (tokens, promised) = self.gcra.level(word.load(Ordering::Relaxed), now);
        RateSnapshot {
            rate_per_second: self.config.rate_per_second,
            burst: self.config.burst,
            queue_max: self.config.queue_max(),
            keys_max: keys.map(Keyed::places),
            keys_busy: keys.map(|keyed| keyed.busy(&self.gcra, now)),
            tokens,
            promised,
            store: self.shared.as_ref().map(Shared::state),
            passed: self.passed.load(Relaxed),
            delayed: self.delayed.load(Relaxed),
            refused: self.refused.load(Relaxed),
        }
    }
}

/// What a [`RateLimiter`] knows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RateSnapshot {
    /// Calls a second, for each key.
    pub rate_per_second: f64,
    /// Calls that may pass at once.
    pub burst: u32,
    /// How many calls of a key may wait. 0: none.
    pub queue_max: u32,
    /// Keys that have a place, at most.
    pub keys_max: Option<usize>,
    /// Keys whose bucket is not full.
    pub keys_busy: Option<usize>,
    /// Calls that would pass now; with keys, of those that have found no place.
    pub tokens: u64,
    /// Tokens that are promised, of the same bucket.
    pub promised: u64,
    /// How the store is, if the limit is shared: `up` or `away`.
    pub store: Option<&'static str>,
    /// Calls that have passed at once, or after their wait.
    pub passed: u64,
    /// Calls that were made to wait.
    pub delayed: u64,
    /// Calls that were refused.
    pub refused: u64,
}
