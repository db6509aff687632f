//! One hop: in by the one layer, out by the other.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody};
use tokio_stream::StreamExt as _;
use tower::{Layer as _, Service as _, service_fn};

use super::*;

fn request(headers: &[(HeaderName, &str)]) -> Request<()> {
    let mut request = Request::new(());
    for (name, value) in headers {
        request.headers_mut().insert(name.clone(), value.parse().unwrap());
    }
    request
}

/// The headers of a call that a handler makes while it serves one with `inbound` headers.
async fn hop(inbound: &[(HeaderName, &str)], set: &[(HeaderName, &str)]) -> HeaderMap {
    let seen = Arc::new(Mutex::new(HeaderMap::new()));
    let peer = {
        let seen = seen.clone();
        service_fn(move |request: Request<()>| {
            *seen.lock().unwrap() = request.headers().clone();
            async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::new()))) }
        })
    };
    let client = OutboundLayer::new(|_: &str| Some(Criticality::Sheddable)).layer(peer);
    let outgoing: Arc<Vec<(HeaderName, String)>> =
        Arc::new(set.iter().map(|(name, value)| (name.clone(), (*value).to_owned())).collect());
    let handler = service_fn(move |_: Request<()>| {
        let (mut client, outgoing) = (client.clone(), outgoing.clone());
        async move {
            let set: Vec<_> = outgoing.iter().map(|(name, value)| (name.clone(), value.as_str())).collect();
            client.call(request(&set)).await
        }
    });
    InboundLayer::new(|_: &str| Some(Criticality::Critical)).layer(handler).call(request(inbound)).await.unwrap();
    Arc::into_inner(seen).map(|seen| seen.into_inner().unwrap()).unwrap_or_default()
}

#[tokio::test]
async fn a_callers_criticality_goes_on_and_the_methods_own_holds_without() {
    assert_eq!(hop(&[(CRITICALITY, "sheddable")], &[]).await[CRITICALITY], "sheddable");
    assert_eq!(hop(&[], &[]).await[CRITICALITY], "critical");
    assert_eq!(hop(&[(CRITICALITY, "utmost")], &[]).await[CRITICALITY], "critical");
    assert_eq!(hop(&[], &[(CRITICALITY, "default")]).await[CRITICALITY], "default");
}

#[tokio::test]
async fn what_a_retry_causes_is_marked_all_the_way() {
    assert!(!hop(&[], &[]).await.contains_key(RETRIED));
    assert!(!hop(&[(PREVIOUS_ATTEMPTS, "0")], &[]).await.contains_key(RETRIED));
    assert!(!hop(&[(PREVIOUS_ATTEMPTS, "x")], &[]).await.contains_key(RETRIED));
    assert!(hop(&[(PREVIOUS_ATTEMPTS, "1")], &[]).await.contains_key(RETRIED));
    assert!(hop(&[(RETRIED, "1")], &[]).await.contains_key(RETRIED));
}

#[tokio::test]
async fn a_call_that_serves_no_other_has_its_methods_criticality() {
    let seen =
        service_fn(
            |request: Request<()>| async move { Ok::<_, Infallible>(request.headers().get(CRITICALITY).cloned()) },
        );
    let mut client = OutboundLayer::new(|_: &str| Some(Criticality::Sheddable)).layer(seen);
    assert_eq!(client.call(request(&[])).await.unwrap().unwrap(), "sheddable");
}

#[tokio::test]
async fn a_stream_knows_it_too() {
    let handler = service_fn(|_: Request<()>| async {
        let frames = tokio_stream::iter([()])
            .map(|()| http_body::Frame::data(Bytes::from(Propagated::current().criticality().as_str())))
            .map(Ok::<_, Infallible>);
        Ok::<_, Infallible>(Response::new(StreamBody::new(frames)))
    });
    let mut stack = InboundLayer::new(|_: &str| None).layer(handler);
    let answer = stack.call(request(&[(CRITICALITY, "critical")])).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "critical");
}
