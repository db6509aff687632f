//! Both outbound layers under a paused clock, the one around the other.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use tonic::{Code, Status};
use tower::{Layer as _, Service as _, service_fn};

use super::*;
use crate::{BoundLayer, parse_timeout};

const DEFAULT: Duration = Duration::from_secs(5);
const MARGIN: Duration = Duration::from_millis(10);

/// Calls a peer that answers after `latency`; returns the answer's headers and the timeout it was told.
async fn call(latency: Duration, requested: Option<&str>) -> (HeaderMap, Option<Duration>) {
    let told = Arc::new(Mutex::new(None));
    let seen = told.clone();
    let peer = service_fn(move |request: Request<()>| {
        *seen.lock().unwrap() = request.headers().get(GRPC_TIMEOUT).map(|v| parse_timeout(v.as_bytes()).unwrap());
        async move {
            tokio::time::sleep(latency).await;
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
        }
    });
    let mut request = Request::new(());
    if let Some(timeout) = requested {
        request.headers_mut().insert(GRPC_TIMEOUT, timeout.parse().unwrap());
    }
    let attempts = ForwardLayer::new(MARGIN).layer(peer);
    let response = BoundLayer::new(|_: &str| DEFAULT).layer(attempts).call(request).await.unwrap();
    let told = *told.lock().unwrap();
    (response.headers().clone(), told)
}

fn code(headers: &HeaderMap) -> Option<Code> {
    Status::from_header_map(headers).map(|status| status.code())
}

#[tokio::test(start_paused = true)]
async fn without_any_other_the_default_is_sent_and_held_to() {
    let (headers, told) = call(Duration::from_secs(9), None).await;
    assert_eq!(told, Some(DEFAULT - MARGIN));
    assert_eq!(code(&headers), Some(Code::DeadlineExceeded));
}

#[tokio::test(start_paused = true)]
async fn the_peer_gets_what_is_left_less_the_margin() {
    let deadline = Deadline::after(Duration::from_secs(1));
    tokio::time::advance(Duration::from_millis(400)).await;
    let (headers, told) = deadline.scope(call(Duration::ZERO, None)).await;
    assert_eq!(told, Some(Duration::from_millis(590)));
    assert_eq!(code(&headers), None);
}

#[tokio::test(start_paused = true)]
async fn the_earliest_deadline_wins() {
    let (_, told) = Deadline::after(Duration::from_secs(60)).scope(call(Duration::ZERO, None)).await;
    assert_eq!(told, Some(DEFAULT - MARGIN));
    let (_, told) = Deadline::after(Duration::from_secs(60)).scope(call(Duration::ZERO, Some("70m"))).await;
    assert_eq!(told, Some(Duration::from_millis(60)));
    let (_, told) = Deadline::after(Duration::from_secs(1)).scope(call(Duration::ZERO, Some("30S"))).await;
    assert_eq!(told, Some(Duration::from_millis(990)));
}

#[tokio::test(start_paused = true)]
async fn with_nothing_left_the_network_is_never_reached() {
    let deadline = Deadline::after(Duration::from_millis(10));
    tokio::time::advance(Duration::from_millis(10)).await;
    let (headers, told) = deadline.scope(call(Duration::ZERO, None)).await;
    assert_eq!((code(&headers), told), (Some(Code::DeadlineExceeded), None));
}

/// A margin that is wide for most calls must not be the end of a short one.
#[tokio::test(start_paused = true)]
async fn the_margin_is_at_most_half_of_what_is_left() {
    let (_, told) = Deadline::after(Duration::from_millis(12)).scope(call(Duration::ZERO, None)).await;
    assert_eq!(told, Some(Duration::from_millis(6)));
}

/// What stands between the layers, such as a breaker, is to learn that the peer was late.
#[tokio::test(start_paused = true)]
async fn a_late_attempt_is_seen_between_the_layers() {
    let seen = Arc::new(Mutex::new(None));
    let silent = service_fn(|_: Request<()>| std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>());
    let between = {
        let seen = seen.clone();
        tower::ServiceBuilder::new()
            .map_response(move |response: Response<_>| {
                *seen.lock().unwrap() = code(response.headers());
                response
            })
            .layer(ForwardLayer::new(MARGIN))
            .service(silent)
    };
    let answer = BoundLayer::new(|_: &str| DEFAULT).layer(between).call(Request::new(())).await.unwrap();
    assert_eq!(code(answer.headers()), Some(Code::DeadlineExceeded));
    assert_eq!(*seen.lock().unwrap(), Some(Code::DeadlineExceeded));
}
