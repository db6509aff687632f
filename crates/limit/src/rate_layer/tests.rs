//! The layer under a paused clock.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use tokio::task::JoinHandle;
use tokio::time::Instant as Clock;
use tonic::body::Body;
use tower::{ServiceExt as _, service_fn};

use super::*;
use crate::{RateConfig, RateKind};

/// One call at once, and one each 100 ms.
fn limiter(kind: RateKind) -> Arc<RateLimiter> {
    let config = RateConfig { rate_per_second: 10.0, burst: 1, kind, ..RateConfig::default() };
    Arc::new(RateLimiter::try_new("test", config, None, now()).unwrap())
}

fn request(body: &'static str) -> Request<Body> {
    Request::builder().uri("/shop.v1.Shop/Buy").body(Body::new(Full::new(Bytes::from_static(body.as_bytes())))).unwrap()
}

/// Answers with what it is sent, once it is complete, and counts its calls.
fn echo(
    calls: &Arc<AtomicU64>,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static {
    let calls = Arc::clone(calls);
    service_fn(move |request: Request<Body>| {
        calls.fetch_add(1, Ordering::Relaxed);
        async move {
            let sent = request.into_body().collect().await.unwrap().to_bytes();
            Ok(Response::new(Body::new(Full::new(sent))))
        }
    })
}

fn stack(
    limiter: &Arc<RateLimiter>,
    calls: &Arc<AtomicU64>,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static {
    let limiter = Arc::clone(limiter);
    let layer =
        RateLayer::new(move |path: &str| (path != "/grpc.health.v1.Health/Check").then(|| Arc::clone(&limiter)));
    // A second for each call, as if a deadline layer stood before this one.
    layer.with_deadline(|| Some(now() + Duration::from_secs(1))).layer(echo(calls))
}

/// The body of an answer and when it came, for a call that begins now.
fn begin<S>(service: &S, request: Request<Body>) -> JoinHandle<(Response<()>, Bytes, Duration)>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    let call = service.clone().oneshot(request);
    let begun = Clock::now();
    tokio::spawn(async move {
        let (parts, body) = call.await.unwrap().into_parts();
        let took = begun.elapsed();
        (Response::from_parts(parts, ()), body.collect().await.unwrap().to_bytes(), took)
    })
}

fn header<'a>(response: &'a Response<()>, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_is_told_when_to_come_back_and_does_not_reach_the_service() {
    let calls = Arc::default();
    let service = stack(&limiter(RateKind::TokenBucket), &calls);
    assert_eq!(begin(&service, request("a")).await.unwrap().1, "a");
    let (response, _, took) = begin(&service, request("b")).await.unwrap();
    assert_eq!(took, Duration::ZERO);
    let status = Status::from_header_map(response.headers()).unwrap();
    assert_eq!(
        (status.code(), status.message()),
        (Code::ResourceExhausted, "calls come faster than their limit allows")
    );
    // The clock's tick after 100 ms, in whole milliseconds.
    assert_eq!(header(&response, "grpc-retry-pushback-ms"), Some("101"));
    let details = tonic_types::StatusExt::get_error_details(&status);
    assert_eq!(details.error_info().unwrap().reason, "RATE_LIMITED");
    let retry_after = details.retry_info().unwrap().retry_delay.unwrap();
    assert!((100_000..100_002).contains(&retry_after.as_micros()), "{retry_after:?}");

    let (response, ..) = begin(&service, request("c")).await.unwrap();
    assert_eq!(header(&response, "grpc-retry-pushback-ms"), Some("201"));
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_is_served_before_who_comes_first() {
    let calls = Arc::default();
    let service = stack(&limiter(RateKind::TokenBucket), &calls);
    begin(&service, request("a")).await.unwrap();
    begin(&service, request("b")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(101)).await;
    let (newcomer, ..) = begin(&service, request("c")).await.unwrap();
    assert_eq!(header(&newcomer, "grpc-retry-pushback-ms"), Some("100"));
    let mut again = request("b");
    again.headers_mut().insert(PREVIOUS_ATTEMPTS, "1".parse().unwrap());
    assert_eq!(begin(&service, again).await.unwrap().1, "b");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_promised_beyond_the_callers_deadline() {
    let calls = Arc::default();
    let service = stack(&limiter(RateKind::TokenBucket), &calls);
    begin(&service, request("a")).await.unwrap();
    let mut told = Vec::new();
    for _ in 0..12 {
        let (response, ..) = begin(&service, request("b")).await.unwrap();
        told.push(header(&response, "grpc-retry-pushback-ms").unwrap().to_owned());
    }
    let expected: Vec<String> =
        (1..=9).map(|n| format!("{}", n * 100 + 1)).chain(std::iter::repeat_n("-1".into(), 3)).collect();
    assert_eq!(told, expected);
}

#[tokio::test(start_paused = true)]
async fn calls_wait_their_turn_and_keep_what_they_are_sent() {
    let calls = Arc::default();
    let service = stack(&limiter(RateKind::LeakyBucket { queue_max: 2 }), &calls);
    let begun: Vec<_> = ["a", "b", "c", "d"].into_iter().map(|body| begin(&service, request(body))).collect();
    let mut answers = Vec::new();
    for call in begun {
        let (response, body, took) = call.await.unwrap();
        answers.push((header(&response, "grpc-retry-pushback-ms").map(str::to_owned), body, took.as_millis()));
    }
    let served = |body: &'static str, ms| (None, Bytes::from_static(body.as_bytes()), ms);
    let refused = (Some("301".to_owned()), Bytes::new(), 0);
    assert_eq!(answers, [served("a", 0), served("b", 101), served("c", 201), refused]);
    assert_eq!(calls.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_while_it_waits_gives_its_place_back() {
    let calls = Arc::default();
    let limiter = limiter(RateKind::LeakyBucket { queue_max: 1 });
    let service = stack(&limiter, &calls);
    begin(&service, request("a")).await.unwrap();
    let mut waiting = Box::pin(service.clone().oneshot(request("b")));
    assert!(std::future::poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await);
    assert_eq!(limiter.snapshot(now()).delayed, 1);
    let full = begin(&service, request("c"));
    assert!(header(&full.await.unwrap().0, "grpc-retry-pushback-ms").is_some());
    drop(waiting);
    // The token after the one that "c" was promised: that one was not the last in the line.
    let (response, _, took) = begin(&service, request("d")).await.unwrap();
    assert_eq!((header(&response, "grpc-retry-pushback-ms"), took), (Some("301"), Duration::ZERO));

    tokio::time::sleep(Duration::from_secs(2)).await;
    begin(&service, request("e")).await.unwrap();
    let mut waiting = Box::pin(service.clone().oneshot(request("f")));
    assert!(std::future::poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await);
    drop(waiting);
    assert_eq!(begin(&service, request("g")).await.unwrap().2.as_millis(), 101, "the place of f");
    assert_eq!(calls.load(Ordering::Relaxed), 3);
}

/// Messages of a stream that is still being sent when its call waits are not lost, and not counted.
#[tokio::test(start_paused = true)]
async fn a_stream_is_one_call_and_its_messages_wait_with_it() {
    let calls = Arc::default();
    let service = stack(&limiter(RateKind::LeakyBucket { queue_max: 2 }), &calls);
    begin(&service, request("a")).await.unwrap();
    let (sender, receiver) = tokio::sync::mpsc::channel::<&'static str>(1);
    let messages = tokio_stream::StreamExt::map(tokio_stream::wrappers::ReceiverStream::new(receiver), |message| {
        Ok::<_, Status>(http_body::Frame::data(Bytes::from_static(message.as_bytes())))
    });
    let body = Body::new(http_body_util::StreamBody::new(messages));
    let stream = Request::builder().uri("/shop.v1.Shop/Import").body(body).unwrap();
    let other = Request::builder().uri("/shop.v1.Shop/Import").body(Body::empty()).unwrap();
    begin(&service, other).await.unwrap();
    let call = begin(&service, stream);
    let sending = tokio::spawn(async move {
        for message in ["1", "2", "3", "4"] {
            sender.send(message).await.unwrap();
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
    });
    let (_, body, took) = call.await.unwrap();
    sending.await.unwrap();
    assert_eq!(body, "1234");
    assert!(took >= Duration::from_millis(100), "{took:?}");
    assert_eq!(calls.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn health_checks_pass_where_the_closure_says_so() {
    let calls = Arc::default();
    let service = stack(&limiter(RateKind::TokenBucket), &calls);
    for _ in 0..5 {
        let check = Request::builder().uri("/grpc.health.v1.Health/Check").body(Body::empty()).unwrap();
        assert_eq!(header(&begin(&service, check).await.unwrap().0, "grpc-status"), None);
    }
    assert_eq!(calls.load(Ordering::Relaxed), 5);
}
