//! The latest keys of an issuer, asked for by one task for all calls.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use opentelemetry::KeyValue;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep_until};

use super::freshness::{Freshness, Times};
use super::{Keys, Source};

/// Calls that wait for keys at a time. A further one is answered with what is known.
const WAITING_MAX: usize = 1_000;

/// The latest keys. Clones share them.
///
/// [`run`](Self::run) must be polled for them to come.
#[derive(Debug, Clone)]
pub struct Keyring(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Source,
    keys: ArcSwapOption<Latest>,
    freshness: Mutex<Freshness>,
    /// Somebody waits for keys.
    wanted: Notify,
    /// How many attempts have ended.
    attempts: watch::Sender<u64>,
    waiting: Semaphore,
}

#[derive(Debug)]
struct Latest {
    keys: Arc<Keys>,
    good_until: std::time::Instant,
}

/// There are no keys, or those that there are may have been withdrawn since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the keys of the issuer are not known")]
pub struct Unavailable;

impl Keyring {
    /// Has no keys yet.
    pub fn new(source: Source, times: Times) -> Self {
        Self(Arc::new(Inner {
            source,
            keys: ArcSwapOption::empty(),
            freshness: Mutex::new(Freshness::new(times)),
            wanted: Notify::new(),
            attempts: watch::Sender::new(0),
            waiting: Semaphore::new(WAITING_MAX),
        }))
    }

    /// The keys that are good now.
    ///
    /// # Errors
    /// If there are none, or they are older than the settings allow.
    pub fn keys(&self) -> Result<Arc<Keys>, Unavailable> {
        let latest = self.0.keys.load();
        let latest = latest.as_ref().filter(|latest| now() <= latest.good_until);
        latest.map(|latest| Arc::clone(&latest.keys)).ok_or(Unavailable)
    }

    /// Where the next attempt to get keys would be told apart from those that have ended.
    pub(crate) fn attempts(&self) -> u64 {
        *self.0.attempts.borrow()
    }

    /// Whether newer keys may come within the time of one attempt.
    pub(crate) fn is_worth_waiting(&self) -> bool {
        self.freshness().is_worth_waiting(now())
    }

    /// Waits for the end of an attempt after the first `seen` ones; at once if too many wait already.
    /// Dropping it has no effect on the attempt.
    pub(crate) async fn attempted(&self, seen: u64) {
        let Ok(_place) = self.0.waiting.try_acquire() else { return };
        let mut attempts = self.0.attempts.subscribe();
        if !self.freshness().is_asking() {
            self.0.wanted.notify_one();
        }
        // The sender is in the same allocation as what is held here.
        let _ = attempts.wait_for(|ended| *ended > seen).await;
    }

    /// Waits until there are keys.
    pub async fn ready(&self) {
        let mut attempts = self.0.attempts.subscribe();
        let _ = attempts.wait_for(|_| self.0.keys.load().is_some()).await;
    }

    /// Asks for keys when they are due or wanted; never ends. Dropped, it can be begun again.
    pub async fn run(&self) {
        let mut was_good = true;
        loop {
            self.freshness().begin(now());
            let fetched = self.0.source.fetch().await;
            let good_until = self.freshness().end(fetched.is_ok(), now());
            let outcome = KeyValue::new("outcome", if fetched.is_ok() { "success" } else { "failure" });
            seawall_provenance::counted("auth.keys_fetched", &[outcome]);
            match fetched {
                Ok(keys) => {
                    if !was_good || self.0.keys.load().is_none() {
                        tracing::info!(source = %self.0.source, keys = keys.len(), "the keys of the issuer are there");
                    }
                    was_good = true;
                    self.0.keys.store(Some(Arc::new(Latest { keys: Arc::new(keys), good_until })));
                }
                // Said once, as long as it lasts.
                Err(error) if was_good => {
                    was_good = false;
                    let cause = error.cause();
                    tracing::warn!(source = %self.0.source, cause, "cannot get the keys of the issuer");
                }
                Err(_) => {}
            }
            self.0.attempts.send_modify(|ended| *ended += 1);
            let (due, earliest) = {
                let freshness = self.freshness();
                (freshness.due(now()), freshness.earliest(now()))
            };
            tokio::select! {
                () = sleep_until(due.into()) => {}
                () = self.0.wanted.notified() => sleep_until(earliest.into()).await,
            }
        }
    }

    fn freshness(&self) -> MutexGuard<'_, Freshness> {
        self.0.freshness.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}
