//! The inbound layer under a paused clock.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody};
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};
use tower::{Layer as _, Service as _, service_fn};

use super::*;

fn default_of_a_minute(_: &str) -> Option<Duration> {
    Some(Duration::from_secs(60))
}

fn request(timeout: Option<&str>) -> Request<()> {
    let mut request = Request::new(());
    if let Some(timeout) = timeout {
        request.headers_mut().insert(GRPC_TIMEOUT, timeout.parse().unwrap());
    }
    request
}

/// Sets its flag when it is dropped, to show that a handler was.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

async fn answer_after(
    handler: Duration,
    timeout: Option<&str>,
) -> (Response<crate::BoundedBody<Full<Bytes>>>, Duration) {
    let inner = service_fn(move |_: Request<()>| async move {
        tokio::time::sleep(handler).await;
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
    });
    let start = tokio::time::Instant::now();
    let response = EnforceLayer::new(default_of_a_minute).layer(inner).call(request(timeout)).await.unwrap();
    (response, start.elapsed())
}

fn code(headers: &http::HeaderMap) -> Option<Code> {
    Status::from_header_map(headers).map(|status| status.code())
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_too_slow_is_cut_off_at_the_deadline() {
    let (response, took) = answer_after(Duration::from_secs(5), Some("250m")).await;
    assert_eq!(code(response.headers()), Some(Code::DeadlineExceeded));
    assert!((250..252).contains(&took.as_millis()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn without_a_header_the_default_holds() {
    let (response, took) = answer_after(Duration::from_secs(500), None).await;
    assert_eq!(code(response.headers()), Some(Code::DeadlineExceeded));
    assert_eq!(took.as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_handler_in_time_is_left_alone_and_sees_the_deadline() {
    let inner = service_fn(|_: Request<()>| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let left = crate::Deadline::current().unwrap().remaining();
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(format!("{}", left.as_millis())))))
    });
    let response = EnforceLayer::new(default_of_a_minute).layer(inner).call(request(Some("3S"))).await.unwrap();
    assert_eq!(code(response.headers()), None);
    let left: u64 = String::from_utf8(response.collect().await.unwrap().to_bytes().to_vec()).unwrap().parse().unwrap();
    assert!((1_998..=2_000).contains(&left), "{left}");
}

/// Such as a client behind a server, that decides on its deadline before it is polled.
#[tokio::test(start_paused = true)]
async fn a_service_that_works_in_its_call_sees_the_deadline_too() {
    let inner = service_fn(|_: Request<()>| {
        let left = crate::Deadline::current().map(crate::Deadline::remaining);
        std::future::ready(Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(format!("{left:?}"))))))
    });
    let response = EnforceLayer::new(default_of_a_minute).layer(inner).call(request(Some("3S"))).await.unwrap();
    assert_eq!(response.collect().await.unwrap().to_bytes(), "Some(3s)");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_has_passed_and_a_malformed_one_never_reach_the_handler() {
    for (timeout, expected) in
        [("0S", Code::DeadlineExceeded), ("12x", Code::InvalidArgument), ("", Code::InvalidArgument)]
    {
        let called = Arc::new(AtomicBool::new(false));
        let seen = called.clone();
        let inner = service_fn(move |_: Request<()>| {
            seen.store(true, Ordering::SeqCst);
            async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::new()))) }
        });
        let response = EnforceLayer::new(default_of_a_minute).layer(inner).call(request(Some(timeout))).await.unwrap();
        assert_eq!(code(response.headers()), Some(expected), "{timeout:?}");
        assert!(!called.load(Ordering::SeqCst), "{timeout:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_the_status_in_its_trailers_and_is_dropped() {
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = dropped.clone();
    let inner = service_fn(move |_: Request<()>| {
        let guard = Dropped(flag.clone());
        async move {
            let ticks = tokio_stream::iter(0_u64..).then(|n| async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                n
            });
            let frames = ticks.map(move |n| {
                let _held = &guard;
                Ok::<_, Infallible>(http_body::Frame::data(Bytes::from(vec![u8::try_from(n).unwrap()])))
            });
            Ok::<_, Infallible>(Response::new(StreamBody::new(frames)))
        }
    });
    let response = EnforceLayer::new(default_of_a_minute).layer(inner).call(request(Some("350m"))).await.unwrap();
    let mut body = Box::pin(response.into_body());
    for n in 0..3 {
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), vec![n]);
    }
    assert!(!dropped.load(Ordering::SeqCst));
    let trailers = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(code(&trailers), Some(Code::DeadlineExceeded));
    assert!(dropped.load(Ordering::SeqCst), "the stream behind the body was not dropped");
    assert!(body.frame().await.is_none());
}

/// A stream that always has data ready never lets a timer speak.
#[tokio::test]
async fn a_stream_that_never_waits_ends_too() {
    let inner = service_fn(|_: Request<()>| async {
        let frames = tokio_stream::iter(std::iter::repeat_with(|| {
            Ok::<_, Infallible>(http_body::Frame::data(Bytes::from_static(b"x")))
        }));
        Ok::<_, Infallible>(Response::new(StreamBody::new(frames)))
    });
    let response = EnforceLayer::new(default_of_a_minute).layer(inner).call(request(Some("20m"))).await.unwrap();
    let trailers = response.collect().await.unwrap().trailers().cloned().unwrap();
    assert_eq!(code(&trailers), Some(Code::DeadlineExceeded));
}
