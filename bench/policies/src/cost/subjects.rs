//! The layers whose calls are measured, and how each is configured.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::Full;
use seawall_breaker::{Breaker, BreakerLayer, Config, Kind, ThreeStateConfig};
use seawall_limit::{
    Algorithm, ConcurrencyConfig, ConcurrencyLayer, ConcurrencyLimiter, FixedConfig, RateConfig, RateLayer, RateLimiter,
};
use seawall_retry::{
    Allowance, AllowanceConfig, HedgeConfig, HedgeLayer, HedgePolicy, Idempotency, RetryConfig, RetryLayer, RetryPolicy,
};
use tonic::Status;
use tonic::body::Body;
use tower::Layer;
use tower_resilience::adaptive::{AdaptiveLimiterLayer, Aimd, Vegas};
use tower_resilience::bulkhead::BulkheadLayer;
use tower_resilience::circuitbreaker::{CircuitBreakerLayer, SlidingWindowType};
use tower_resilience::{hedge, ratelimiter, retry};

use super::{Bare, Subject, Theirs, subject};
use crate::grpc::{AtOnce, PATH, is_failure};
use crate::guard::guard;

/// Whose layers they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Nobody,
    Seawall,
    TowerResilience,
    Failsafe,
}

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nobody => "",
            Self::Seawall => "Seawall",
            Self::TowerResilience => "tower-resilience",
            Self::Failsafe => "failsafe",
        })
    }
}

/// More calls than are made, so that no limit is reached.
const PLENTY: u32 = 1_000_000_000;

/// What a service has been called before that is measured with a window in use: ten seconds at a
/// thousand calls a second.
const IN_WINDOW: usize = 10_000;

type Clonable = Request<Full<Bytes>>;

/// Makes the subjects.
pub(super) struct Maker {
    tonic: AtOnce<Body>,
    clonable: AtOnce<Full<Bytes>>,
}

fn breaker(kind: Kind) -> BreakerLayer<impl Fn(&str) -> Option<Arc<Breaker>> + Clone> {
    let breaker = Breaker::try_new("orders", "GetOrder", Config { kind }, Instant::now()).expect("a valid config");
    let breaker = Arc::new(breaker);
    BreakerLayer::new(move |path: &str| (path == PATH).then(|| Arc::clone(&breaker)))
}

fn rate(config: RateConfig) -> RateLayer<impl Fn(&str) -> Option<Arc<RateLimiter>> + Clone> {
    let config = RateConfig { rate_per_second: 1e6, burst: PLENTY, ..config };
    let limiter = Arc::new(RateLimiter::try_new("orders", config, None, Instant::now()).expect("a valid config"));
    RateLayer::new(move |path: &str| (path == PATH).then(|| Arc::clone(&limiter)))
}

type IsUnary = fn(&str) -> bool;

fn concurrency(
    algorithm: Algorithm,
) -> ConcurrencyLayer<impl Fn(&str) -> Option<Arc<ConcurrencyLimiter>> + Clone, IsUnary> {
    let config = ConcurrencyConfig { algorithm, ..ConcurrencyConfig::default() };
    let limiter = Arc::new(ConcurrencyLimiter::try_new(config).expect("a valid config"));
    ConcurrencyLayer::new(move |path: &str| (path == PATH).then(|| Arc::clone(&limiter)), |_| true)
}

fn allowance() -> Arc<Allowance> {
    let config = AllowanceConfig::default();
    Arc::new(Allowance::try_new("orders", &config, Instant::now()).expect("a valid config"))
}

type Remaining = fn(&HeaderMap) -> Option<Duration>;
const REMAINING: Remaining = |_| Some(Duration::from_secs(1));

fn retries(covered: &'static str) -> RetryLayer<impl Fn(&str) -> Option<Arc<RetryPolicy>> + Clone, Remaining> {
    let config = RetryConfig::default();
    let policy = RetryPolicy::try_new(covered, &config, Idempotency::NoSideEffects, allowance());
    let policy = Arc::new(policy.expect("a valid config"));
    RetryLayer::new(move |path: &str| (path == covered).then(|| Arc::clone(&policy)), REMAINING)
}

fn hedges() -> HedgeLayer<impl Fn(&str) -> Option<Arc<HedgePolicy>> + Clone, Remaining> {
    let config = HedgeConfig::default();
    let policy = HedgePolicy::try_new(PATH, &config, Idempotency::NoSideEffects, allowance(), Instant::now());
    let policy = Arc::new(policy.expect("a valid config"));
    HedgeLayer::new(move |path: &str| (path == PATH).then(|| Arc::clone(&policy)), REMAINING)
}

/// The retries of tower-resilience, with the budget of its documentation.
fn their_retries<E: 'static>(
    attempts: impl Fn(&Clonable) -> usize + Send + Sync + 'static,
) -> retry::RetryLayer<Clonable, Theirs, E> {
    let budget = retry::RetryBudgetBuilder::new().token_bucket().build().expect("a valid config");
    let layer = retry::RetryLayer::<Clonable, Theirs, E>::exponential_backoff();
    layer.max_attempts_fn(attempts).retry_on_response(is_failure).budget(budget).build()
}

fn their_rate() -> ratelimiter::RateLimiterLayer {
    ratelimiter::RateLimiterLayer::burst(1_000_000, PLENTY as usize).build().expect("a valid config")
}

/// Their breaker, told what a failure is as it is in gRPC.
macro_rules! their_breaker {
    ($builder:expr) => {
        $builder
            .failure_classifier(|result: &Result<Theirs, _>| result.as_ref().map_or(true, is_failure))
            .build()
            .expect("a valid config")
    };
}

impl Maker {
    pub(super) fn new() -> Self {
        Self { tonic: AtOnce::new(), clonable: AtOnce::new() }
    }

    pub(super) fn subjects(&self) -> Vec<Subject> {
        let mut all = vec![
            subject("none", Of::Nobody, Bare::Tonic, None, {
                let s = self.tonic.clone();
                move || s.clone()
            }),
            subject("none, requests that can be cloned", Of::Nobody, Bare::Clonable, None, {
                let s = self.clonable.clone();
                move || s.clone()
            }),
        ];
        all.extend(self.breakers());
        all.extend(self.limits());
        all.extend(self.attempts());
        all.extend(self.stacks());
        all
    }

    fn breakers(&self) -> Vec<Subject> {
        const THREE: &str = "breaker, three states";
        const FULL: &str = "breaker, three states, 10,000 calls in its 10 s window";
        let three = || Kind::ThreeState(ThreeStateConfig::default());
        let inner = &self.tonic;
        let ours = |what, filled, kind: fn() -> Kind| {
            let inner = inner.clone();
            subject(what, Of::Seawall, Bare::Tonic, filled, move || breaker(kind()).layer(inner.clone()))
        };
        let standard = inner.clone();
        let timed = inner.clone();
        let guarded = inner.clone();
        vec![
            ours("breaker, adaptive", None, Kind::default),
            ours(THREE, None, three),
            subject("breaker, `standard()`: counts calls", Of::TowerResilience, Bare::Tonic, None, move || {
                their_breaker!(CircuitBreakerLayer::standard()).layer(standard.clone())
            })
            .beside(THREE),
            subject("breaker, `Config::new()`", Of::Failsafe, Bare::Tonic, None, move || guard(guarded.clone()))
                .beside(THREE),
            ours(FULL, Some(IN_WINDOW), three),
            subject(
                "breaker, `TimeBased`, 10,000 calls in its 10 s window",
                Of::TowerResilience,
                Bare::Tonic,
                Some(IN_WINDOW),
                move || {
                    let builder = CircuitBreakerLayer::standard()
                        .sliding_window_type(SlidingWindowType::TimeBased)
                        .sliding_window_duration(Duration::from_secs(10))
                        .minimum_number_of_calls(20);
                    their_breaker!(builder).layer(timed.clone())
                },
            )
            .beside(FULL),
        ]
    }

    fn limits(&self) -> Vec<Subject> {
        const RATE: &str = "rate, token bucket, one for all";
        const FIXED: &str = "concurrency, fixed";
        const VEGAS: &str = "concurrency, Vegas";
        let inner = &self.tonic;
        let ours = |what, config: fn() -> RateConfig| {
            let inner = inner.clone();
            subject(what, Of::Seawall, Bare::Tonic, None, move || rate(config()).layer(inner.clone()))
        };
        let limited = |what, algorithm: fn() -> Algorithm| {
            let inner = inner.clone();
            subject(what, Of::Seawall, Bare::Tonic, None, move || concurrency(algorithm()).layer(inner.clone()))
        };
        let theirs = [(); 4].map(|()| inner.clone());
        let [bucket, bulkhead, aimd, vegas] = theirs;
        vec![
            ours("rate, token bucket, one for each method", RateConfig::default),
            ours(RATE, || RateConfig { key: Vec::new(), ..RateConfig::default() }),
            subject("rate, `burst()`: token bucket, one for all", Of::TowerResilience, Bare::Tonic, None, move || {
                their_rate().layer(bucket.clone())
            })
            .beside(RATE),
            limited("concurrency, Gradient2", Algorithm::default),
            limited(VEGAS, || Algorithm::Vegas(seawall_limit::VegasConfig::default())),
            limited(FIXED, || Algorithm::Fixed(FixedConfig { limit: 200 })),
            subject("bulkhead, `large()`: 200, refuses", Of::TowerResilience, Bare::Tonic, None, move || {
                BulkheadLayer::large().build().expect("a valid config").layer(bulkhead.clone())
            })
            .beside(FIXED),
            subject("adaptive limiter, `Aimd`", Of::TowerResilience, Bare::Tonic, None, move || {
                AdaptiveLimiterLayer::new(Aimd::builder().build().expect("a valid config")).layer(aimd.clone())
            }),
            subject("adaptive limiter, `Vegas`", Of::TowerResilience, Bare::Tonic, None, move || {
                AdaptiveLimiterLayer::new(Vegas::builder().build().expect("a valid config")).layer(vegas.clone())
            })
            .beside(VEGAS),
        ]
    }

    fn attempts(&self) -> Vec<Subject> {
        const RETRIED: &str = "retries, method with a policy";
        const OTHER: &str = "retries, method without a policy";
        const HEDGED: &str = "hedges, method with a policy";
        let inner = &self.tonic;
        let ours = |what, covered: &'static str| {
            let inner = inner.clone();
            subject(what, Of::Seawall, Bare::Tonic, None, move || retries(covered).layer(inner.clone()))
        };
        let theirs = |what, attempts: usize| {
            let inner = self.clonable.clone();
            subject(what, Of::TowerResilience, Bare::Clonable, None, move || {
                their_retries::<Status>(move |_| attempts).layer(inner.clone())
            })
        };
        let (hedged, also_hedged) = (inner.clone(), self.clonable.clone());
        vec![
            ours(RETRIED, PATH),
            theirs("retries, `exponential_backoff()` with budget", 3).beside(RETRIED),
            ours(OTHER, "/shop.v1.Orders/PlaceOrder"),
            theirs("retries, `max_attempts_fn` says 1", 1).beside(OTHER),
            subject(HEDGED, Of::Seawall, Bare::Tonic, None, move || hedges().layer(hedged.clone())),
            subject("hedges, `standard()`", Of::TowerResilience, Bare::Clonable, None, move || {
                hedge::HedgeLayer::standard().layer(also_hedged.clone())
            })
            .beside(HEDGED),
        ]
    }

    /// In the order that tower-resilience recommends: retries, breaker, concurrency, rate.
    fn stacks(&self) -> Vec<Subject> {
        const ALL: &str = "retries + breaker + concurrency + rate";
        let (inner, theirs) = (self.tonic.clone(), self.clonable.clone());
        vec![
            subject(ALL, Of::Seawall, Bare::Tonic, None, move || {
                let limited = concurrency(Algorithm::default()).layer(rate(RateConfig::default()).layer(inner.clone()));
                retries(PATH).layer(breaker(Kind::default()).layer(limited))
            }),
            subject("retries + breaker + bulkhead + rate", Of::TowerResilience, Bare::Clonable, None, move || {
                let bulkhead = BulkheadLayer::large().build().expect("a valid config");
                let limited = bulkhead.layer(their_rate().layer(theirs.clone()));
                their_retries(|_| 3).layer(their_breaker!(CircuitBreakerLayer::standard()).layer(limited))
            })
            .beside(ALL),
        ]
    }
}
