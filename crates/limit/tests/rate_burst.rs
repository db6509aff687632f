//! A burst against a limit, through the layer, under a paused clock: how much is admitted, and whether
//! those that obey the push-back are refused again. The figures are printed (`--nocapture`).

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::{Request, Response};
use seawall_limit::{Ask, Decision, Key, RateConfig, RateKind, RateLayer, RateLimiter};
use seawall_propagation::with_peer;
use tonic::body::Body;
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn limiter(config: RateConfig) -> Arc<RateLimiter> {
    Arc::new(RateLimiter::try_new("test", config, None, now()).unwrap())
}

/// What a call got.
#[derive(Debug, PartialEq)]
enum Answer {
    Served,
    ComeBack(Duration),
    StayAway,
}

async fn call<S>(service: S, is_retry: bool) -> Answer
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let mut request = Request::builder().uri("/shop.v1.Shop/Buy");
    if is_retry {
        request = request.header("grpc-previous-rpc-attempts", "1");
    }
    let response = service.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    match response.headers().get("grpc-retry-pushback-ms").map(|value| value.to_str().unwrap().parse::<i64>().unwrap())
    {
        None => Answer::Served,
        Some(ms) => u64::try_from(ms).map_or(Answer::StayAway, |ms| Answer::ComeBack(Duration::from_millis(ms))),
    }
}

#[derive(Debug, Default)]
struct Seen {
    calls: AtomicU64,
    first_tries_served: AtomicU64,
    second_tries_served: AtomicU64,
    second_tries_refused: AtomicU64,
    told_to_stay_away: AtomicU64,
}

/// `offered_per_second` callers for `seconds`, each of which obeys; half a second's worth comes at
/// once, at the start.
async fn offer(config: RateConfig, offered_per_second: u32, seconds: u32, comes_back: bool) -> Seen {
    let limiter = limiter(config);
    let layer = RateLayer::new(move |_: &str| Some(Arc::clone(&limiter)));
    let service = layer.layer(service_fn(|_: Request<Body>| async { Ok(Response::new(Body::empty())) }));
    let seen = Arc::new(Seen::default());
    let end = tokio::time::Instant::now() + Duration::from_secs(seconds.into());
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..offered_per_second * seconds + offered_per_second / 2 {
        let at = f64::from(number.saturating_sub(offered_per_second / 2)) / f64::from(offered_per_second);
        // Each is so far away: what it is told reaches it late, and so does its second try reach us.
        let way = Duration::from_millis(u64::from(number % 45));
        let (service, seen) = (service.clone(), Arc::clone(&seen));
        callers.spawn(async move {
            tokio::time::sleep(Duration::from_secs_f64(at)).await;
            let count = |counter: &AtomicU64| {
                if tokio::time::Instant::now() <= end {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            };
            seen.calls.fetch_add(1, Ordering::Relaxed);
            match call(service.clone(), false).await {
                Answer::Served => count(&seen.first_tries_served),
                Answer::StayAway => count(&seen.told_to_stay_away),
                Answer::ComeBack(after) if comes_back => {
                    tokio::time::sleep(way + after + way).await;
                    match call(service, true).await {
                        Answer::Served => count(&seen.second_tries_served),
                        Answer::ComeBack(_) | Answer::StayAway => count(&seen.second_tries_refused),
                    }
                }
                Answer::ComeBack(_) => {}
            }
        });
    }
    while let Some(joined) = callers.join_next().await {
        joined.unwrap();
    }
    Arc::into_inner(seen).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_admitted_at_the_rate_and_no_obedient_second_try_is_refused() {
    const SECONDS: u32 = 20;
    for (name, kind) in
        [("token bucket", RateKind::TokenBucket), ("leaky bucket", RateKind::LeakyBucket { queue_max: 30 })]
    {
        for (load, offered_per_second) in [("1.2x", 120), ("3x", 300), ("10x", 1_000)] {
            let config = RateConfig { rate_per_second: 100.0, burst: 50, kind, ..RateConfig::default() };
            let seen = offer(config, offered_per_second, SECONDS, true).await;
            let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            let admitted = get(&seen.first_tries_served) + get(&seen.second_tries_served);
            let ideal = 100 * u64::from(SECONDS) + 50;
            println!(
                "{name} at {load}: {} calls, {admitted} admitted of {ideal} ({:+.2} %): {} first tries, {} second \
                 tries; {} second tries refused, {} told to stay away",
                get(&seen.calls),
                100.0 * (admitted as f64 / ideal as f64 - 1.0),
                get(&seen.first_tries_served),
                get(&seen.second_tries_served),
                get(&seen.second_tries_refused),
                get(&seen.told_to_stay_away),
            );
            assert_eq!(get(&seen.second_tries_refused), 0);
            assert!(get(&seen.second_tries_served) > 0);
            assert!(admitted <= ideal && admitted * 100 >= ideal * 99, "{admitted} of {ideal}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn callers_that_never_come_back_do_not_cost_the_rate() {
    const SECONDS: u32 = 20;
    let config = RateConfig { rate_per_second: 100.0, burst: 50, ..RateConfig::default() };
    let seen = offer(config, 1_000, SECONDS, false).await;
    let admitted = seen.first_tries_served.load(Ordering::Relaxed);
    let ideal = 100 * u64::from(SECONDS) + 50;
    println!("nobody comes back, 10x: {admitted} admitted of {ideal}");
    assert!(admitted <= ideal && admitted * 100 >= ideal * 99, "{admitted} of {ideal}");
}

fn key(limiter: &RateLimiter, tenant: &str) -> seawall_limit::CallKey {
    let request = Request::builder().uri("/a/b").header("x-tenant", tenant).body(()).unwrap();
    limiter.key(&request)
}

fn by_tenant(keys_max: u32) -> RateConfig {
    let key = vec![Key::Metadata("x-tenant".into())];
    RateConfig { rate_per_second: 1.0, burst: 5, key, keys_max, ..RateConfig::default() }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_keys_neither_grows_the_table_nor_frees_a_key() {
    let limiter = limiter(by_tenant(64));
    let take =
        |tenant: &str, at: Instant| limiter.try_take(key(&limiter, tenant), at, Ask::default()) == Decision::Pass;
    let start = now();
    assert_eq!((0..20).filter(|_| take("greedy", start)).count(), 5);

    let flood = 10_000;
    let passed = (0..flood).filter(|n| take(&format!("made up {n}"), start)).count();
    let snapshot = limiter.snapshot(start);
    assert_eq!(snapshot.keys_max, Some(64));
    // Each place that is left has let one call pass, and the strangers together a burst.
    let busy = snapshot.keys_busy.unwrap();
    assert_eq!(passed, busy - 1 + 5, "{snapshot:?}");
    assert!(busy > 60, "keys are strangers while {} places of 64 are free", 64 - busy);

    // The greedy one is who it was, and gets what comes in time.
    assert!(!take("greedy", start));
    let later = start + Duration::from_secs(2);
    assert!((0..flood).filter(|n| take(&format!("made up later {n}"), later)).count() <= 64 + 5);
    assert!((0..20).filter(|_| take("greedy", start + Duration::from_secs(13))).count() <= 5);
}

#[test]
fn the_table_is_two_thirds_full_before_a_key_finds_no_place() {
    let start = Instant::now();
    let limiter = RateLimiter::try_new("test", by_tenant(10_000), None, start).unwrap();
    for tenant in 0..6_600 {
        let decision = limiter.try_take(key(&limiter, &tenant.to_string()), start, Ask::default());
        assert_eq!(decision, Decision::Pass);
    }
    let snapshot = limiter.snapshot(start);
    assert_eq!((snapshot.keys_busy, snapshot.tokens), (Some(6_600), 5), "strangers have taken nothing");
}

#[test]
fn a_key_that_comes_in_several_threads_at_once_has_one_bucket() {
    let start = Instant::now();
    let limiter = RateLimiter::try_new("test", by_tenant(1_000), None, start).unwrap();
    let passed: Vec<usize> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let limiter = &limiter;
                scope.spawn(move || {
                    let take =
                        |tenant: usize| limiter.try_take(key(limiter, &tenant.to_string()), start, Ask::default());
                    (0..500).map(|tenant| (0..4).filter(|_| take(tenant) == Decision::Pass).count()).collect::<Vec<_>>()
                })
            })
            .collect();
        let counts: Vec<Vec<usize>> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        (0..500).map(|tenant| counts.iter().map(|count| count[tenant]).sum()).collect()
    });
    assert_eq!(passed, vec![5; 500]);
    assert_eq!(limiter.snapshot(start).keys_busy, Some(500));
}

#[tokio::test(start_paused = true)]
async fn an_idle_key_gives_way_to_a_new_one() {
    let limiter = limiter(by_tenant(8));
    let start = now();
    for round in 0..50_u32 {
        let at = start + Duration::from_secs(20) * round;
        for n in 0..4 {
            let tenant = key(&limiter, &format!("{round}/{n}"));
            let passed = (0..6).filter(|_| limiter.try_take(tenant, at, Ask::default()) == Decision::Pass).count();
            assert_eq!(passed, 5, "a key with a bucket of its own, in round {round}");
        }
        assert_eq!(limiter.snapshot(at).keys_busy, Some(4));
    }
}

#[tokio::test(start_paused = true)]
async fn calls_are_told_apart_by_what_the_configuration_names() {
    /// Where a request comes from.
    #[derive(Clone, Copy)]
    struct From(std::net::SocketAddr);

    let peer = |ip: &str| -> std::net::SocketAddr { (ip.parse::<std::net::IpAddr>().unwrap(), 4711).into() };
    let request = |path: &str, tenant: Option<&str>, ip: &str| {
        let mut request = Request::builder().uri(path).extension(From(peer(ip)));
        if let Some(tenant) = tenant {
            request = request.header("x-tenant", tenant);
        }
        request.body(()).unwrap()
    };
    let same = |key: Vec<Key>, a: &Request<()>, b: &Request<()>| {
        let limiter = limiter(RateConfig { key, ..RateConfig::default() });
        let key =
            |request: &Request<()>| with_peer(request.extensions().get::<From>().unwrap().0, || limiter.key(request));
        key(a) == key(b)
    };
    let tenant = || Key::Metadata("x-tenant".into());
    let base = request("/a/b", Some("1"), "10.0.0.1");
    let other_method = request("/a/c", Some("1"), "10.0.0.1");
    let other_tenant = request("/a/b", Some("2"), "10.0.0.1");
    let no_tenant = request("/a/b", None, "10.0.0.1");
    let other_caller = request("/a/b", Some("1"), "10.0.0.2");
    for other in [&other_method, &other_tenant, &no_tenant, &other_caller] {
        assert!(same(vec![], &base, other));
        assert!(!same(vec![Key::Method, tenant(), Key::Caller], &base, other));
    }
    assert!(same(vec![Key::Method], &base, &other_tenant) && !same(vec![Key::Method], &base, &other_method));
    assert!(same(vec![tenant()], &base, &other_caller) && !same(vec![tenant()], &base, &other_tenant));
    assert!(same(vec![Key::Caller], &base, &other_method) && !same(vec![Key::Caller], &base, &other_caller));
    // A caller has a whole /64 of IPv6 to choose from, and IPv4 in two notations.
    let v6 = ["2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"].map(|ip| request("/a/b", None, ip));
    assert!(same(vec![Key::Caller], &v6[0], &v6[1]) && !same(vec![Key::Caller], &v6[0], &v6[2]));
    assert!(same(vec![Key::Caller], &base, &request("/a/b", None, "::ffff:10.0.0.1")));
    // Whoever is known is known wherever they call from, and is not the others who call from there.
    let known = |name: &str, ip: &str| {
        let mut request = request("/a/b", None, ip);
        request.extensions_mut().insert(seawall_propagation::Caller::new(&[name]));
        request
    };
    let ada = known("ada", "10.0.0.1");
    assert!(same(vec![Key::Caller], &ada, &known("ada", "10.0.0.2")));
    assert!(!same(vec![Key::Caller], &ada, &known("bob", "10.0.0.1")) && !same(vec![Key::Caller], &ada, &base));
    // Parts do not run into each other.
    let (a, b) = (request("/a/b", Some("c"), "10.0.0.1"), request("/a/bc", Some(""), "10.0.0.1"));
    assert!(!same(vec![Key::Method, tenant()], &a, &b));
}
