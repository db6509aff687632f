//! Three services in a row, the last of which fails every call: how many calls reach it for each call
//! that is made, when each of the three hops tries again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use http_body_util::Empty;
use seawall_breaker::{Breaker, BreakerLayer, Config};
use seawall_propagation::{InboundLayer, OutboundLayer};
use seawall_retry::{Allowance, AllowanceConfig, Idempotency, RetryConfig, RetryLayer, RetryPolicy};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt as _, service_fn};
use tower_resilience::circuitbreaker::{CircuitBreakerError, CircuitBreakerLayer};
use tower_resilience::retry;

use crate::clock::simulate;
use crate::grpc::{PATH, is_failure};
use crate::table;

const PER_SECOND: u32 = 100;
/// How long the last service takes to fail.
const FAILS_AFTER: Duration = Duration::from_millis(5);
/// How long the callers call, in seconds.
const RUNS: [u32; 3] = [1, 10, 60];

/// A service, or the way to one.
type Hop<B> = BoxCloneSyncService<Request<B>, Response<B>, Status>;

/// The last service. It has no part in this but to count.
fn last<B: Default + Send + 'static>(calls: &Arc<AtomicU32>) -> Hop<B> {
    let calls = Arc::clone(calls);
    BoxCloneSyncService::new(service_fn(move |_: Request<B>| {
        calls.fetch_add(1, Ordering::Relaxed);
        async {
            sleep(FAILS_AFTER).await;
            Ok(Status::unavailable("out of order").into_http())
        }
    }))
}

fn request<B: Default>() -> Request<B> {
    Request::post(PATH).body(B::default()).expect("a request")
}

/// A service in the middle: it makes one call for each that it gets, and answers what it is answered.
fn middle<B: Default + Send + 'static>(way: Hop<B>) -> Hop<B> {
    BoxCloneSyncService::new(service_fn(move |_: Request<B>| way.clone().oneshot(request())))
}

/// The way to a service with Seawall's client layers, in the order of its client.
fn ours_to(peer: &'static str, service: Hop<Body>, has_breaker: bool) -> Hop<Body> {
    let now = Instant::now().into_std();
    let allowance = Allowance::try_new(peer, &AllowanceConfig::default(), now).expect("a valid config");
    let (config, idempotency) = (RetryConfig::default(), Idempotency::NoSideEffects);
    let policy = RetryPolicy::try_new(PATH, &config, idempotency, Arc::new(allowance)).expect("a valid config");
    let policy = Arc::new(policy);
    let breaker = Breaker::try_new(peer, "GetOrder", Config::default(), now).expect("a valid config");
    let breaker = has_breaker.then(|| Arc::new(breaker));
    let one_try = BreakerLayer::new(move |_: &str| breaker.clone()).layer(service);
    let tries = RetryLayer::new(move |_: &str| Some(Arc::clone(&policy)), |_: &HeaderMap| None).layer(one_try);
    let way = OutboundLayer::new(|_: &str| None).layer(tries);
    BoxCloneSyncService::new(way.map_response(|response| response.map(Body::new)))
}

/// A service with the layer that tells its calls what they descend from.
fn ours_at(service: Hop<Body>) -> Hop<Body> {
    let served = InboundLayer::new(|_: &str| None).layer(service);
    BoxCloneSyncService::new(served.map_response(|response| response.map(Body::new)))
}

fn ours(calls: &Arc<AtomicU32>, has_breaker: bool) -> Hop<Body> {
    let to_last = ours_to("last", last(calls), has_breaker);
    let to_second = ours_to("second", ours_at(middle(to_last)), has_breaker);
    ours_to("first", ours_at(middle(to_second)), has_breaker)
}

/// Which budget the retries of tower-resilience have.
#[derive(Clone, Copy)]
enum Budget {
    None,
    TokenBucket,
    Aimd,
}

/// What tower-resilience clones: its own requests have no body here.
type Bodyless = Empty<bytes::Bytes>;

/// The way to a service with the layers of tower-resilience, in the order that it recommends.
fn theirs_to(service: Hop<Bodyless>, budget: Budget, has_breaker: bool) -> Hop<Bodyless> {
    let one_try = if has_breaker {
        let breaker = CircuitBreakerLayer::standard()
            .failure_classifier(|result: &Result<Response<Bodyless>, Status>| result.as_ref().map_or(true, is_failure))
            .build()
            .expect("a valid config");
        BoxCloneSyncService::new(breaker.layer(service).map_err(|error| match error {
            CircuitBreakerError::Inner(status) => status,
            // Its documentation says that this should not be tried again.
            _ => Status::failed_precondition("open"),
        }))
    } else {
        service
    };
    let tries = retry::RetryLayer::<Request<Bodyless>, Response<Bodyless>, Status>::exponential_backoff()
        .retry_on_response(is_failure)
        .retry_on(|status: &Status| status.code() == Code::Unavailable);
    let budgets = retry::RetryBudgetBuilder::new();
    let tries = match budget {
        Budget::None => tries,
        Budget::TokenBucket => tries.budget(budgets.token_bucket().build().expect("a valid config")),
        Budget::Aimd => tries.budget(budgets.aimd().build().expect("a valid config")),
    };
    BoxCloneSyncService::new(tries.build().layer(one_try))
}

fn theirs(calls: &Arc<AtomicU32>, budget: Budget, has_breaker: bool) -> Hop<Bodyless> {
    let to_last = theirs_to(last(calls), budget, has_breaker);
    let to_second = theirs_to(middle(to_last), budget, has_breaker);
    theirs_to(middle(to_second), budget, has_breaker)
}

/// Calls for so many seconds; returns how many calls reached the last service for each that was made.
fn amplification<B: Default + Send + 'static>(seconds: u32, way: impl Fn(&Arc<AtomicU32>) -> Hop<B>) -> f64 {
    let at_last = simulate(async {
        fastrand::seed(7);
        let at_last = Arc::new(AtomicU32::new(0));
        let way = way(&at_last);
        let mut callers = JoinSet::new();
        for _ in 0..PER_SECOND * seconds {
            // A caller does not care how it failed.
            callers.spawn(way.clone().oneshot(request()));
            sleep(Duration::from_secs(1) / PER_SECOND).await;
        }
        callers.join_all().await;
        at_last.load(Ordering::Relaxed)
    });
    f64::from(at_last) / f64::from(PER_SECOND * seconds)
}

/// Runs all, and prints the table.
pub(crate) fn run() {
    println!("## (a) Three hops, each of which tries again; the last service fails every call\n");
    println!("Calls that reach the last service for each that is made, at {PER_SECOND} calls a second:\n");
    let row = |what: &str, amplification: &dyn Fn(u32) -> f64| {
        let [short, middle, long] = RUNS.map(|seconds| format!("{:.2}", amplification(seconds)));
        [what.to_owned(), short, middle, long]
    };
    let of_theirs =
        |budget, has_breaker| move |seconds| amplification(seconds, |calls| theirs(calls, budget, has_breaker));
    let rows = [
        row("Seawall: retries", &|seconds| amplification(seconds, |calls| ours(calls, false))),
        row("Seawall: retries, adaptive breaker", &|seconds| amplification(seconds, |calls| ours(calls, true))),
        row("tower-resilience: `exponential_backoff()`", &of_theirs(Budget::None, false)),
        row("tower-resilience: with `token_bucket()` budget", &of_theirs(Budget::TokenBucket, false)),
        row("tower-resilience: with `aimd()` budget", &of_theirs(Budget::Aimd, false)),
        row(
            "tower-resilience: with `token_bucket()` budget, `standard()` breaker",
            &of_theirs(Budget::TokenBucket, true),
        ),
    ];
    table::print(["", "1 s", "10 s", "60 s"], &rows);
}
