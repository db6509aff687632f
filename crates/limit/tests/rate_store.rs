//! One suite for the limiter of one process and for the one that replicas share on a real Redis; and
//! what happens when that one goes away.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::Request;
use seawall_backends::{Options, Redis, RunningRedis, free_port};
use seawall_limit::{Ask, CallKey, Decision, Key, RateConfig, RateKind, RateLimiter, Refused, Store, StoreConfig};

/// A server of its own for a test. `None` only where `TEST_SKIP_REDIS=1` says to leave it out.
struct Server {
    redis: Redis,
    folder: tempfile::TempDir,
    port: u16,
    running: Option<RunningRedis>,
}

impl Server {
    async fn start() -> Option<Self> {
        if std::env::var("TEST_SKIP_REDIS").is_ok_and(|skip| skip == "1") {
            eprintln!("skipped: TEST_SKIP_REDIS=1 says to leave Redis out");
            return None;
        }
        let redis =
            Redis::find().unwrap_or_else(|missing| panic!("{missing}; TEST_SKIP_REDIS=1 leaves these tests out"));
        let mut server =
            Self { redis, folder: tempfile::tempdir().unwrap(), port: free_port().unwrap(), running: None };
        server.restart().await;
        Some(server)
    }

    async fn restart(&mut self) {
        let options = Options { not_durable: true, ..Options::default() };
        let log = self.folder.path().join("redis.log");
        let started = self.redis.start(self.folder.path(), self.port, &log, options).await;
        self.running = Some(started.unwrap());
    }

    async fn stop(&mut self) {
        self.running.take().unwrap().stop().await;
    }

    fn config(&self) -> StoreConfig {
        let url = format!("redis://127.0.0.1:{}", self.port);
        // A machine that tests on all its cores is slow, and not away.
        StoreConfig { url, timeout: Duration::from_secs(1), ..StoreConfig::default() }
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn config(rate_per_second: f64, burst: u32, kind: RateKind) -> RateConfig {
    // However long a test takes to come back, its token is there.
    let grace = Duration::from_secs(10);
    RateConfig {
        rate_per_second,
        burst,
        kind,
        grace,
        key: vec![Key::Metadata("x-tenant".into())],
        ..RateConfig::default()
    }
}

fn key(limiter: &RateLimiter, tenant: &str) -> CallKey {
    limiter.key(&Request::builder().header("x-tenant", tenant).body(()).unwrap())
}

async fn take(limiter: &RateLimiter, tenant: &str, ask: Ask) -> Decision {
    limiter.take(key(limiter, tenant), now(), ask).await
}

fn refused(decision: Decision) -> Refused {
    match decision {
        Decision::Refused(refused) => refused,
        other => panic!("{other:?}"),
    }
}

const NEW: Ask = Ask { is_returning: false, remaining: None };
const BACK: Ask = Ask { is_returning: true, remaining: None };

/// What any limiter does. `make` gives limiters that share their buckets by name, if anything does.
/// Redis has a clock of its own, so the suite waits for what it is told to wait for.
async fn conforms(make: impl Fn(&str, RateConfig) -> Arc<RateLimiter>) {
    tokio::join!(
        bursts_and_keys(make("bursts", config(0.2, 3, RateKind::TokenBucket))),
        spread_out_promises(make("promises", config(0.5, 1, RateKind::TokenBucket))),
        the_queue(make("queue", config(1.0, 1, RateKind::LeakyBucket { queue_max: 2 }))),
        no_time(make("no time", config(0.2, 1, RateKind::TokenBucket))),
        at_the_rate(make("rate", config(50.0, 5, RateKind::TokenBucket))),
    );
}

async fn bursts_and_keys(limiter: Arc<RateLimiter>) {
    let limiter = &limiter;
    for tenant in ["a", "b"] {
        for _ in 0..3 {
            assert_eq!(take(limiter, tenant, NEW).await, Decision::Pass);
        }
        let told = refused(take(limiter, tenant, NEW).await);
        assert!(told.is_promised);
        assert!((3_000..=5_001).contains(&told.retry_after.as_millis()), "{told:?}");
    }
}

async fn spread_out_promises(limiter: Arc<RateLimiter>) {
    let limiter = &limiter;
    assert_eq!(take(limiter, "a", NEW).await, Decision::Pass);
    let begun = tokio::time::Instant::now();
    let mut told = Vec::new();
    for _ in 0..3 {
        let refused = refused(take(limiter, "a", NEW).await);
        assert!(refused.is_promised);
        told.push(begun.elapsed() + refused.retry_after);
    }
    // Two seconds apart, but for the time that the calls themselves took.
    for pair in told.windows(2) {
        assert!((1_000..=3_000).contains(&(pair[1] - pair[0]).as_millis()), "{told:?}");
    }
    // Too early is as a newcomer: told a time after all the others.
    assert!(begun.elapsed() + refused(take(limiter, "a", BACK).await).retry_after > told[2]);
    tokio::time::sleep_until(begun + told[0]).await;
    assert!(matches!(take(limiter, "a", NEW).await, Decision::Refused(_)), "the token is somebody else's");
    assert_eq!(take(limiter, "a", BACK).await, Decision::Pass);
}

async fn the_queue(limiter: Arc<RateLimiter>) {
    let limiter = &limiter;
    assert_eq!(take(limiter, "a", NEW).await, Decision::Pass);
    let mut last = Duration::ZERO;
    for _ in 0..2 {
        match take(limiter, "a", NEW).await {
            Decision::Wait(wait) => last = wait.after,
            other => panic!("{other:?}"),
        }
    }
    assert!(refused(take(limiter, "a", NEW).await).is_promised, "the queue is full");
    tokio::time::sleep(last).await;
    for _ in 0..2 {
        assert_eq!(take(limiter, "a", BACK).await, Decision::Pass);
    }
}

async fn no_time(limiter: Arc<RateLimiter>) {
    let limiter = &limiter;
    let short = Ask { remaining: Some(Duration::from_millis(500)), ..NEW };
    assert_eq!(take(limiter, "a", short).await, Decision::Pass);
    for _ in 0..3 {
        let told = refused(take(limiter, "a", short).await);
        assert!(!told.is_promised);
        assert!((3_000..=5_001).contains(&told.retry_after.as_millis()), "{told:?}");
    }
}

/// Hammered until the burst and twenty more have passed: not sooner than the rate allows.
async fn at_the_rate(limiter: Arc<RateLimiter>) {
    let begun = tokio::time::Instant::now();
    let short = Ask { remaining: Some(Duration::ZERO), ..NEW };
    let mut passed = 0_u32;
    while passed < 25 {
        passed += u32::from(take(&limiter, "a", short).await == Decision::Pass);
        let most = 5.0 + 50.0 * begun.elapsed().as_secs_f64();
        assert!(f64::from(passed) <= most, "{passed} of {most}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_limiter_of_one_process_conforms() {
    conforms(|name, config| Arc::new(RateLimiter::try_new(name, config, None, now()).unwrap())).await;
}

#[tokio::test]
async fn the_limiter_on_redis_conforms() {
    let Some(server) = Server::start().await else { return };
    let store = Store::connect(server.config()).await.unwrap();
    let make = |name: &str, config: RateConfig| {
        let config = RateConfig { shared: true, ..config };
        Arc::new(RateLimiter::try_new(name, config, Some(&store), now()).unwrap())
    };
    conforms(make).await;
    assert_eq!(make("any", config(1.0, 1, RateKind::TokenBucket)).snapshot(now()).store, Some("up"));
}

/// The script as it is, but for the clock, against the bucket of this process: the same answers to the
/// same calls at the same microsecond.
#[tokio::test]
async fn the_script_is_the_same_bucket() {
    const CLOCK: &str = "local time = redis.call('TIME')
local now = (tonumber(time[1]) - 1767225600) * 1000000 + tonumber(time[2])";
    // A token of so many microseconds is of whole ticks here, and both reckon without rounding.
    const TOKEN_US: u64 = 65_536;
    let Some(server) = Server::start().await else { return };
    let text = include_str!("../src/distributed/gcra.lua");
    assert_eq!(text.matches(CLOCK).count(), 1);
    let script = redis::Script::new(&text.replace(CLOCK, "local now = tonumber(ARGV[8])"));
    let client = redis::Client::open(server.config().url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut kinds = [0; 3];
    for seed in 0..20_u64 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (burst, grace_us) = (random.u32(1..6), random.u64(0..400_000));
        let grace = Duration::from_micros(grace_us);
        let config = RateConfig { rate_per_second: 1e6 / TOKEN_US as f64, burst, grace, ..RateConfig::default() };
        let start = Instant::now();
        let bucket = seawall_limit::TokenBucket::try_new(&config, start).unwrap();
        let mut now_us = 0;
        for step in 0..200 {
            now_us += if random.u8(..) < 6 { random.u64(0..2_000_000) } else { random.u64(0..TOKEN_US) };
            let remaining_us = random.u64(0..1_000_000);
            let ask = Ask { is_returning: random.bool(), remaining: Some(Duration::from_micros(remaining_us + 1)) };
            let ours = match bucket.try_take(start + Duration::from_micros(now_us), ask) {
                Ok(()) => ("admitted", 0),
                Err(told) => {
                    // The bucket tells a tick more, so that who waits for it finds that it has passed.
                    let wait_us = told.retry_after.as_micros() as u64 - 1;
                    (if told.is_promised { "promised" } else { "beyond" }, wait_us)
                }
            };
            let mut call = script.key(format!("seed {seed}"));
            call.arg(TOKEN_US).arg(TOKEN_US * u64::from(burst)).arg(grace_us).arg(remaining_us.min(10_000_000));
            call.arg(16_383).arg(u8::from(ask.is_returning)).arg(10_000_000).arg(now_us);
            let (verdict, wait_us): (String, i64) = call.invoke_async(&mut connection).await.unwrap();
            let theirs = (verdict.as_str(), if verdict == "admitted" { 0 } else { wait_us as u64 });
            assert_eq!(ours, theirs, "step {step} of seed {seed}, at {now_us} us");
            kinds[["admitted", "promised", "beyond"].iter().position(|kind| *kind == verdict).unwrap()] += 1;
        }
    }
    assert!(kinds.iter().all(|kind| *kind > 100), "{kinds:?}: nothing was compared");
}

#[tokio::test]
async fn replicas_share_a_limit_and_nothing_of_a_key_is_at_the_store() {
    let Some(server) = Server::start().await else { return };
    let mut passed = Vec::new();
    for _replica in 0..3 {
        let store = Store::connect(server.config()).await.unwrap();
        let config = RateConfig { shared: true, ..config(0.01, 10, RateKind::TokenBucket) };
        let limiter = RateLimiter::try_new("shared", config, Some(&store), now()).unwrap();
        for _ in 0..6 {
            passed.push(take(&limiter, "Bearer s3cret", NEW).await == Decision::Pass);
        }
    }
    assert_eq!(passed.iter().filter(|passed| **passed).count(), 10);
    let client = redis::Client::open(server.config().url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    assert_eq!(keys.len(), 1);
    assert!(keys[0].starts_with("seawall:rate:shared:") && !keys[0].contains("s3cret"), "{keys:?}");
    let ttl_ms: i64 = redis::cmd("PTTL").arg(&keys[0]).query_async(&mut connection).await.unwrap();
    // Ten tokens at one in 100 s, one that is promised, and the grace.
    assert!((900_000..=1_110_002).contains(&ttl_ms), "{ttl_ms} ms until the key is forgotten");
}

/// The bucket of the lower limit owes tokens for a quarter of an hour, and so does one whose store has
/// had its clock set back by as much. Neither is a reason to refuse that long.
#[tokio::test]
async fn a_shared_limit_that_is_raised_holds_at_once() {
    let Some(server) = Server::start().await else { return };
    let store = Store::connect(server.config()).await.unwrap();
    let make = |rate| {
        let config = RateConfig { shared: true, ..config(rate, 10, RateKind::TokenBucket) };
        RateLimiter::try_new("raised", config, Some(&store), now()).unwrap()
    };
    assert_eq!(pass(&make(0.01), "a", 12).await, 10);
    let raised = make(5.0);
    let told = refused(take(&raised, "a", NEW).await);
    assert!(told.is_promised && told.retry_after <= Duration::from_millis(201), "{told:?}");
    tokio::time::sleep(told.retry_after).await;
    assert_eq!(take(&raised, "a", BACK).await, Decision::Pass);
}

/// What the tests of this file write to the log.
#[derive(Debug, Clone, Copy)]
struct Log;

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The lines about one store.
fn logged(port: u16) -> Vec<String> {
    let text = String::from_utf8(LOG.lock().unwrap().clone()).unwrap();
    text.lines().filter(|line| line.contains(&format!("127.0.0.1:{port}"))).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_store_that_goes_fails_no_call_and_is_used_again_when_it_is_back() {
    let Some(mut server) = Server::start().await else { return };
    let subscriber = tracing_subscriber::fmt().with_writer(|| Log).with_ansi(false).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let store_config = StoreConfig { replicas: 4, ..server.config() };
    let store = Store::connect(store_config).await.unwrap();
    let config = RateConfig { shared: true, ..config(0.01, 20, RateKind::TokenBucket) };
    let limiter = RateLimiter::try_new("shared", config, Some(&store), now()).unwrap();
    assert_eq!(take(&limiter, "a", NEW).await, Decision::Pass);

    server.stop().await;
    // A quarter of twenty, of which one is used.
    let passed = pass(&limiter, "a", 20).await;
    assert_eq!(passed, 4);
    assert_eq!(limiter.snapshot(now()).store, Some("away"));
    let lines = logged(server.port);
    assert!(lines.len() == 1 && lines[0].contains("is away; each replica keeps to its part"), "{lines:?}");

    server.restart().await;
    while limiter.snapshot(now()).store != Some("up") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // It has forgotten everything, and has all twenty for another key.
    assert_eq!(pass(&limiter, "b", 30).await, 20);
    let lines = logged(server.port);
    assert!(lines.len() == 2 && lines[1].contains("the store of shared rate limits is back"), "{lines:?}");
}

#[tokio::test]
async fn a_store_that_hangs_costs_three_timeouts_and_then_nothing() {
    let Some(server) = Server::start().await else { return };
    let store_config = StoreConfig { timeout: Duration::from_millis(30), replicas: 2, ..server.config() };
    let store = Store::connect(store_config).await.unwrap();
    let config = RateConfig { shared: true, ..config(0.01, 20, RateKind::TokenBucket) };
    let limiter = RateLimiter::try_new("shared", config, Some(&store), now()).unwrap();
    let client = redis::Client::open(server.config().url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    // It accepts, reads, and answers nobody.
    let () = redis::cmd("CLIENT").arg("PAUSE").arg(60_000).query_async(&mut connection).await.unwrap();
    assert_eq!(pass(&limiter, "a", 3).await, 3);
    assert_eq!(limiter.snapshot(now()).store, Some("away"));
    // From here on, calls are decided without waiting: at their first poll.
    for _ in 0..7 {
        let mut call = Box::pin(take(&limiter, "a", NEW));
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(call.as_mut().poll(cx))).await;
        assert_eq!(polled, std::task::Poll::Ready(Decision::Pass));
    }
    assert_eq!(pass(&limiter, "a", 5).await, 0, "half of twenty have passed");
}

#[tokio::test]
async fn a_store_that_is_away_from_the_start_is_no_error() {
    let config_of_store = StoreConfig {
        url: format!("redis://127.0.0.1:{}", free_port().unwrap()),
        replicas: 2,
        ..StoreConfig::default()
    };
    let store = Store::connect(config_of_store).await.unwrap();
    let config = RateConfig { shared: true, ..config(0.01, 10, RateKind::TokenBucket) };
    let limiter = RateLimiter::try_new("shared", config, Some(&store), now()).unwrap();
    assert_eq!(pass(&limiter, "a", 10).await, 5);
}

async fn pass(limiter: &RateLimiter, tenant: &str, calls: usize) -> usize {
    let mut passed = 0;
    for _ in 0..calls {
        passed += usize::from(take(limiter, tenant, NEW).await == Decision::Pass);
    }
    passed
}

#[tokio::test]
async fn mistakes_of_a_store_are_told_without_its_password() {
    let config = StoreConfig {
        url: "http://user:s3cret@host".into(),
        replicas: 0,
        timeout: Duration::ZERO,
        ..StoreConfig::default()
    };
    assert!(!format!("{config:?}").contains("s3cret"));
    let error = Store::connect(config).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "replicas = 0: must be 1 to 10000; timeout = 0ns: must be more than 0 and at most 1s; \
         url = (hidden): must be redis://[user:password@]host:port[/database]"
    );
    let shared = RateConfig { shared: true, ..RateConfig::default() };
    let error = RateLimiter::try_new("shared", shared, None, now()).unwrap_err();
    assert_eq!(error.to_string(), "shared = true: must be false without a store to share by");
}
