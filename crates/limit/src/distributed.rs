//! Limits that hold over all replicas: the buckets are on Redis or Valkey, one script call each.
//!
//! The store can only help a call, never fail it. If it does not answer in time, or is away, each
//! replica limits by itself, to its part of the rate. A store that is away is not asked: one task
//! knocks once a second until it is back. Both are one line in the log.

mod link;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{RedisResult, Script};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::config_error::Mistakes;
use crate::gcra::{Ask, HORIZON, PROMISED_MAX, Verdict};
use crate::rate::{CallKey, RateConfig};
use crate::{ConfigError, RateKind};
use link::Link;

/// Calls that are at the store at once. More are decided by this process.
const IN_FLIGHT_MAX: usize = 1_024;
const TIMEOUT_MAX: Duration = Duration::from_secs(1);
const REPLICAS_MAX: u32 = 10_000;

/// Where shared limits are kept.
#[derive(Clone, PartialEq)]
pub struct StoreConfig {
    /// `redis://[user:password@]host:port[/database]`, of Redis 5 or Valkey, or later.
    pub url: String,
    /// How many replicas share the limits: each keeps to that part of them while the store is away.
    /// 1 to 10,000.
    pub replicas: u32,
    /// How long a call waits for the store. More than 0, at most 1 s.
    pub timeout: Duration,
    /// What the names of all keys at the store begin with.
    pub prefix: String,
}

impl Default for StoreConfig {
    /// A server on this machine, for one replica.
    fn default() -> Self {
        Self {
            url: "redis://127.0.0.1:6379".to_owned(),
            replicas: 1,
            timeout: Duration::from_millis(50),
            prefix: "seawall:rate:".to_owned(),
        }
    }
}

impl StoreConfig {
    /// Whether a URL can be that of a store; nothing is connected.
    pub fn is_url(url: &str) -> bool {
        redis::Client::open(url).is_ok()
    }
}

/// Without the URL, which can have a password.
impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig")
            .field("replicas", &self.replicas)
            .field("timeout", &self.timeout)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// The store of shared limits: one connection for all of a process's limiters.
#[derive(Debug)]
pub struct Store {
    config: StoreConfig,
    link: Arc<Link>,
    in_flight: Semaphore,
    script: Script,
}

impl Store {
    /// Connects to the store. One that cannot be reached is no error: limits hold for each replica
    /// until it can.
    ///
    /// # Errors
    /// If the configuration has mistakes.
    pub async fn connect(config: StoreConfig) -> Result<Arc<Self>, ConfigError> {
        let mut mistakes = Mistakes::default();
        mistakes.check((1..=REPLICAS_MAX).contains(&config.replicas), "replicas", config.replicas, "1 to 10000");
        let is_timeout = !config.timeout.is_zero() && config.timeout <= TIMEOUT_MAX;
        mistakes.check(is_timeout, "timeout", config.timeout, "more than 0 and at most 1s");
        let client = redis::Client::open(config.url.as_str()).map_err(|_| {
            let form = "redis://[user:password@]host:port[/database]";
            mistakes.check(false, "url", format_args!("(hidden)"), form);
        });
        let client = client.map_err(|()| std::mem::take(&mut mistakes).into_error())?;
        mistakes.into_result()?;
        let link = Link::connect(client).await;
        let script = Script::new(include_str!("distributed/gcra.lua"));
        Ok(Arc::new(Self { config, link, in_flight: Semaphore::new(IN_FLIGHT_MAX), script }))
    }

    async fn take(&self, key: &str, bucket: &Micros, ask: Ask) -> Option<Verdict> {
        let connected = self.link.connection()?;
        let _permit = self.in_flight.try_acquire().ok()?;
        let horizon = ask.remaining.map_or(bucket.horizon, |remaining| bucket.horizon.min(micros(remaining)));
        let mut connection = connected.connection.clone();
        let mut invocation = self.script.key(key);
        invocation.arg(bucket.token).arg(bucket.burst).arg(bucket.grace).arg(horizon);
        invocation.arg(PROMISED_MAX).arg(u8::from(ask.is_returning)).arg(bucket.horizon);
        let answer = timeout(self.config.timeout, invocation.invoke_async(&mut connection)).await;
        let answer: RedisResult<(String, u64)> = answer.unwrap_or_else(|_| Err(late()));
        match answer {
            Ok((verdict, wait_us)) => {
                self.link.answered(&connected);
                // A microsecond more, so that who waits for it finds that it has passed.
                let after = Duration::from_micros(wait_us + 1);
                match verdict.as_str() {
                    "admitted" => Some(Verdict::Admitted),
                    "promised" => Some(Verdict::Promised { after, place: 0 }),
                    _ => Some(Verdict::Beyond { after }),
                }
            }
            Err(error) => {
                self.link.failed(&connected, &error);
                None
            }
        }
    }
}

fn late() -> redis::RedisError {
    (redis::ErrorKind::Io, "no answer in time").into()
}

/// A bucket's settings in microseconds, as the script has them.
#[derive(Debug)]
struct Micros {
    token: f64,
    burst: f64,
    grace: f64,
    horizon: f64,
}

fn micros(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e3
}

/// One shared limiter's way to its buckets.
#[derive(Debug)]
pub(crate) struct Shared {
    store: Arc<Store>,
    /// What the names of its keys begin with.
    prefix: String,
    bucket: Micros,
}

impl Shared {
    pub(crate) fn new(store: Arc<Store>, name: &str, config: &RateConfig) -> Self {
        let token = 1e6 / config.rate_per_second;
        let horizon = micros(HORIZON).max(token).max(token * f64::from(config.queue_max()));
        let bucket = Micros { token, burst: token * f64::from(config.burst), grace: micros(config.grace), horizon };
        Self { prefix: format!("{}{name}:", store.config.prefix), store, bucket }
    }

    /// This replica's part of a limit.
    pub(crate) fn part_of(&self, config: &RateConfig) -> RateConfig {
        let replicas = self.store.config.replicas;
        let kind = match config.kind {
            RateKind::TokenBucket => RateKind::TokenBucket,
            RateKind::LeakyBucket { queue_max } => RateKind::LeakyBucket { queue_max: (queue_max / replicas).max(1) },
        };
        let rate_per_second = config.rate_per_second / f64::from(replicas);
        RateConfig { rate_per_second, burst: (config.burst / replicas).max(1), kind, ..config.clone() }
    }

    /// The verdict of all replicas on a call with this key, or on a stranger. `None` if the store
    /// does not say.
    pub(crate) async fn take(&self, key: Option<CallKey>, ask: Ask) -> Option<Verdict> {
        let digest = key.map_or(0, |key| u128::from_be_bytes(key.digest));
        let name = format!("{}{digest:032x}", self.prefix);
        self.store.take(&name, &self.bucket, ask).await
    }

    pub(crate) fn state(&self) -> &'static str {
        if self.store.link.connection().is_some() { "up" } else { "away" }
    }
}
