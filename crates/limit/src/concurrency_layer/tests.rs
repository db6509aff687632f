//! The layer under a paused clock.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use seawall_propagation::Criticality;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_stream::StreamExt as _;
use tower::service_fn;

use super::*;
use crate::concurrency::{Algorithm, ConcurrencyConfig, FixedConfig};

const CALL: Duration = Duration::from_millis(100);

fn limiter(limit: u32, streams_max: u32) -> Arc<ConcurrencyLimiter> {
    let algorithm = Algorithm::Fixed(FixedConfig { limit });
    let config = ConcurrencyConfig { algorithm, streams_max, ..Default::default() };
    Arc::new(ConcurrencyLimiter::try_new(config).unwrap())
}

trait Limited: Fn(&str) -> Option<Arc<ConcurrencyLimiter>> + Clone + Send + 'static {}

impl<F: Fn(&str) -> Option<Arc<ConcurrencyLimiter>> + Clone + Send + 'static> Limited for F {}

fn layer_of(limiter: &Arc<ConcurrencyLimiter>) -> ConcurrencyLayer<impl Limited + use<>, fn(&str) -> bool> {
    let limiter = Arc::clone(limiter);
    ConcurrencyLayer::new(move |path: &str| (path != "/health").then(|| Arc::clone(&limiter)), |path| path != "/stream")
}

fn request(path: &str) -> Request<()> {
    Request::builder().uri(path).body(()).unwrap()
}

fn ok() -> Response<Full<Bytes>> {
    Response::builder().header("grpc-status", "0").body(Full::default()).unwrap()
}

/// Makes a call in a task of its own, to a handler that takes [`CALL`], and answers with its headers.
fn call(limiter: &Arc<ConcurrencyLimiter>, path: &'static str, criticality: Criticality) -> JoinHandle<HeaderMap> {
    let inner = service_fn(|_: Request<()>| async {
        sleep(CALL).await;
        Ok::<_, Infallible>(ok())
    });
    let mut service = layer_of(limiter).layer(inner);
    let call = async move { service.call(request(path)).await.unwrap().headers().clone() };
    tokio::spawn(Propagated { criticality: Some(criticality), is_retry: false }.scope(call))
}

fn snapshot(limiter: &ConcurrencyLimiter) -> crate::ConcurrencySnapshot {
    limiter.snapshot(Instant::now().into_std())
}

#[tokio::test(start_paused = true)]
async fn over_the_limit_some_wait_and_the_rest_is_told_when_to_come_back() {
    let limiter = limiter(10, 1);
    let calls: Vec<_> = (0..30).map(|_| call(&limiter, "/unary", Criticality::Default)).collect();
    sleep(Duration::from_millis(1)).await;
    let now = snapshot(&limiter);
    assert_eq!((now.in_flight, now.waiting, now.refused_default), (9, 10, 11));
    assert_eq!(limiter.state()["in_flight"], 9);

    let mut refused = 0;
    for call in calls {
        let headers = call.await.unwrap();
        if headers["grpc-status"] == "14" {
            refused += 1;
            let after_ms: u64 = headers["grpc-retry-pushback-ms"].to_str().unwrap().parse().unwrap();
            // Nine in flight and ten that wait, nine at a time, a tenth of a second each.
            assert_eq!(after_ms, 212);
        }
    }
    assert_eq!(refused, 11);
    assert_eq!((snapshot(&limiter).in_flight, snapshot(&limiter).waiting), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_health_check_passes_whatever_is_in_flight() {
    let limiter = limiter(1, 1);
    let busy = call(&limiter, "/unary", Criticality::Critical);
    sleep(Duration::from_millis(1)).await;
    let started = Instant::now();
    let health = call(&limiter, "/health", Criticality::Sheddable).await.unwrap();
    assert_eq!((health["grpc-status"].as_bytes(), started.elapsed().as_millis()), (&b"0"[..], 100));
    busy.await.unwrap();
    assert_eq!(snapshot(&limiter).refused_sheddable, 0);
}

#[tokio::test(start_paused = true)]
async fn the_most_critical_goes_first_then_who_came_first() {
    let limiter = limiter(2, 1);
    let order = Arc::new(AtomicU32::new(0));
    let waits = [Criticality::Default, Criticality::Critical, Criticality::Default, Criticality::Critical];
    let busy = [(); 2].map(|()| call(&limiter, "/unary", Criticality::Critical));
    sleep(Duration::from_millis(1)).await;
    let places = waits.map(|criticality| {
        let (order, call) = (Arc::clone(&order), call(&limiter, "/unary", criticality));
        tokio::spawn(async move {
            assert_eq!(call.await.unwrap()["grpc-status"], "0");
            order.fetch_add(1, Ordering::SeqCst)
        })
    });
    for call in busy {
        call.await.unwrap();
    }
    let mut ended = Vec::new();
    for place in places {
        ended.push(place.await.unwrap());
    }
    assert!(
        ended[1] < ended[0] && ended[3] < ended[0] && ended[0] < ended[2] || ended[3] < 2 && ended[1] < 2,
        "{ended:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_beyond_what_the_deadline_leaves() {
    let limiter = limiter(1, 1);
    let _busy = limiter.try_acquire(Instant::now().into_std(), Criticality::Critical).unwrap();
    let inner = service_fn(|_: Request<()>| async { Ok::<_, Infallible>(ok()) });
    for (deadline_ms, waits_ms) in [(50, 0), (150, 0), (350, 250), (5_000, 1_000)] {
        tokio::task_local!(static DEADLINE: Instant);
        let layer = layer_of(&limiter).with_deadline(|| DEADLINE.try_with(|deadline| *deadline).ok());
        let mut service = layer.layer(inner);
        let started = Instant::now();
        let critical = Propagated { criticality: Some(Criticality::Critical), is_retry: false };
        let call = critical.scope(async { service.call(request("/unary")).await });
        let answer = DEADLINE.scope(started + Duration::from_millis(deadline_ms), call).await.unwrap();
        assert_eq!(answer.headers()["grpc-status"], "14");
        // A call is taken to last a tenth of a second before any has ended.
        assert_eq!(started.elapsed().as_millis(), waits_ms, "with {deadline_ms} ms to the deadline");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_gives_back_its_place_or_leaves_the_queue() {
    let limiter = limiter(1, 1);
    let running = call(&limiter, "/unary", Criticality::Critical);
    sleep(Duration::from_millis(1)).await;
    let waiting = call(&limiter, "/unary", Criticality::Critical);
    sleep(Duration::from_millis(1)).await;
    assert_eq!((snapshot(&limiter).in_flight, snapshot(&limiter).waiting), (1, 1));
    waiting.abort();
    sleep(Duration::from_millis(1)).await;
    assert_eq!((snapshot(&limiter).in_flight, snapshot(&limiter).waiting), (1, 0));
    running.abort();
    sleep(Duration::from_millis(1)).await;
    assert_eq!((snapshot(&limiter).in_flight, snapshot(&limiter).waiting), (0, 0));
    assert_eq!(snapshot(&limiter).learnt_ago_ms, None);
}

#[tokio::test(start_paused = true)]
async fn a_stream_holds_a_place_for_streams_to_its_end_and_leaves_the_limit_alone() {
    let limiter = limiter(1, 2);
    let inner = service_fn(|_: Request<()>| async {
        let frames = tokio_stream::iter([
            Frame::data(Bytes::from_static(b"one")),
            Frame::trailers(HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())])),
        ]);
        Ok::<_, Infallible>(Response::new(StreamBody::new(frames.map(Ok::<_, Infallible>))))
    });
    let mut service = layer_of(&limiter).layer(inner);
    let mut first = service.call(request("/stream")).await.unwrap().into_body();
    let second = service.call(request("/stream")).await.unwrap();
    let refused = service.call(request("/stream")).await.unwrap();
    assert_eq!(refused.headers()["grpc-retry-pushback-ms"], "1000");
    assert_eq!((snapshot(&limiter).streams, snapshot(&limiter).in_flight), (2, 0));

    let unary = service.call(request("/unary")).await.unwrap();
    assert!(!unary.headers().contains_key("grpc-status"), "streams have eaten the limit");

    assert!(first.frame().await.unwrap().unwrap().is_data());
    assert_eq!(snapshot(&limiter).streams, 2);
    assert!(first.frame().await.unwrap().unwrap().is_trailers());
    assert_eq!(snapshot(&limiter).streams, 1);
    drop(second);
    assert_eq!(snapshot(&limiter).streams, 0);
    drop(unary);
    assert_eq!(snapshot(&limiter).in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn only_what_is_served_or_late_is_learnt_from() {
    for (status, is_learnt) in [("0", true), ("4", true), ("8", true), ("3", false), ("13", false), ("14", false)] {
        let limiter = limiter(10, 1);
        let inner = service_fn(move |_: Request<()>| async move {
            sleep(CALL).await;
            let answer = Response::builder().header("grpc-status", status).body(Full::<Bytes>::default());
            Ok::<_, Infallible>(answer.unwrap())
        });
        let mut service = layer_of(&limiter).layer(inner);
        for _ in 0..20 {
            let _ = service.call(request("/unary")).await;
        }
        assert_eq!(snapshot(&limiter).learnt_ago_ms.is_some(), is_learnt, "{status}");
    }
}
