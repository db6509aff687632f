//! Requests that are streams: replayed while they fit, committed when they do not.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body::Frame;
use http_body_util::StreamBody;
use seawall_retry::{Allowance, AllowanceConfig, Idempotency, RetryConfig, RetryLayer, RetryPolicy};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_stream::StreamExt as _;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer as _, Service as _};

use crate::peer::{Answer, METHOD, Peer, allowance, code, read};

type Messages = mpsc::UnboundedSender<Result<&'static str, Status>>;

/// A request whose messages are sent later.
fn streaming() -> (Messages, Request<Body>) {
    let (messages, mut sent) = mpsc::unbounded_channel::<Result<&'static str, Status>>();
    let stream = futures(move |cx| sent.poll_recv(cx));
    let frames = stream.map(|message| message.map(|message| Frame::data(Bytes::from_static(message.as_bytes()))));
    let mut request = Request::new(Body::new(StreamBody::new(frames)));
    *request.uri_mut() = METHOD.parse().unwrap();
    (messages, request)
}

/// A stream by a function.
fn futures<T>(
    poll: impl FnMut(&mut std::task::Context<'_>) -> std::task::Poll<Option<T>> + Unpin,
) -> impl tokio_stream::Stream<Item = T> {
    struct ByFunction<F>(F);
    impl<T, F> tokio_stream::Stream for ByFunction<F>
    where
        F: FnMut(&mut std::task::Context<'_>) -> std::task::Poll<Option<T>> + Unpin,
    {
        type Item = T;
        fn poll_next(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<T>> {
            (self.0)(cx)
        }
    }
    ByFunction(poll)
}

async fn call(
    peer: &Peer,
    request: Request<Body>,
    (bytes_max, allowance): (usize, Arc<Allowance>),
) -> Result<http::Response<seawall_retry::RetriedBody<Body>>, Status> {
    let config = RetryConfig { replay_bytes_max: bytes_max, ..RetryConfig::default() };
    let policy = RetryPolicy::try_new(METHOD, &config, Idempotency::Idempotent, allowance).unwrap();
    let policy = Arc::new(policy);
    let layer = RetryLayer::new(move |_: &str| Some(policy.clone()), |_: &HeaderMap| None);
    layer.layer(peer.clone().service()).call(request).await
}

#[tokio::test(start_paused = true)]
async fn a_client_stream_is_replayed_and_goes_on_in_the_next_attempt() {
    // The first attempt fails after two messages; the third comes while the second attempt runs.
    let peer = Peer::new([Answer::code(Code::Unavailable).reading(2), Answer::code(Code::Ok)]);
    let (messages, request) = streaming();
    for message in ["a", "b"] {
        messages.send(Ok(message)).unwrap();
    }
    let later = tokio::spawn(async move {
        sleep(Duration::from_secs(1)).await;
        messages.send(Ok("c")).unwrap();
    });
    let answer = call(&peer, request, (1024, allowance())).await;
    assert_eq!(code(&answer), Some(Code::Ok));
    later.await.unwrap();
    let bodies: Vec<String> = peer.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, ["ab", "abc"]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_outgrows_the_buffer_stays_with_its_attempt() {
    for (bytes_max, attempts) in [(6, 3), (5, 1)] {
        let peer = Peer::new([Answer::code(Code::Unavailable)]);
        let (messages, request) = streaming();
        for message in ["aa", "bb", "cc"] {
            messages.send(Ok(message)).unwrap();
        }
        drop(messages);
        let answer = call(&peer, request, (bytes_max, allowance())).await;
        assert_eq!(code(&answer), Some(Code::Unavailable));
        let bodies: Vec<String> = peer.seen().into_iter().map(|seen| seen.body).collect();
        assert_eq!(bodies, vec!["aabbcc"; attempts], "the attempt itself loses nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn the_peers_memory_for_replays_is_shared_and_given_back() {
    let config = AllowanceConfig { replay_bytes_max: 6, ..AllowanceConfig::default() };
    let allowance = Arc::new(Allowance::try_new("shop", &config, Instant::now().into_std()).unwrap());
    let bytes = || allowance.snapshot(Instant::now().into_std()).replay_buffers_bytes;
    let ok = Peer::new([Answer::code(Code::Ok).after(1000)]);
    let (messages, request) = streaming();
    messages.send(Ok("aaaa")).unwrap();
    drop(messages);
    let slow = tokio::spawn({
        let (ok, allowance) = (ok.clone(), allowance.clone());
        async move { call(&ok, request, (1024, allowance)).await }
    });
    sleep(Duration::from_millis(1)).await;
    assert_eq!(bytes(), 4);

    let peer = Peer::new([Answer::code(Code::Unavailable)]);
    let (messages, request) = streaming();
    messages.send(Ok("bbb")).unwrap();
    drop(messages);
    call(&peer, request, (1024, allowance.clone())).await.unwrap();
    assert_eq!(peer.seen().len(), 1, "there was no room for it");

    slow.await.unwrap().unwrap();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_stream_is_committed_at_its_headers() {
    let peer = Peer::new([Answer::stream(&["a"], Code::Unavailable), Answer::stream(&["b"], Code::Ok)]);
    let (messages, request) = streaming();
    messages.send(Ok("get")).unwrap();
    drop(messages);
    let response = call(&peer, request, (1024, allowance())).await.unwrap();
    assert_eq!(read(response).await, ("a".into(), Code::Unavailable));
    assert_eq!(peer.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_both_ways_goes_on_after_its_headers_and_keeps_nothing() {
    let peer = Peer::new([Answer::code(Code::Unavailable).reading(1), Answer::stream(&["x"], Code::Ok).reading(2)]);
    let (messages, request) = streaming();
    let allowance = allowance();
    messages.send(Ok("a")).unwrap();
    let sending = tokio::spawn(async move {
        sleep(Duration::from_millis(500)).await;
        messages.send(Ok("b")).unwrap();
        sleep(Duration::from_millis(500)).await;
        messages.send(Ok("c")).unwrap();
        sleep(Duration::from_millis(1)).await;
        messages
    });
    let response = call(&peer, request, (1024, allowance.clone())).await.unwrap();
    let messages = sending.await.unwrap();
    let bodies = || peer.seen().into_iter().map(|seen| seen.body).collect::<Vec<_>>();
    assert_eq!(bodies(), ["a", "abc"]);
    assert_eq!(allowance.snapshot(Instant::now().into_std()).replay_buffers_bytes, 0);
    drop(messages);
    assert_eq!(read(response).await, ("x".into(), Code::Ok));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_fails_by_itself_is_not_sent_again() {
    let peer = Peer::new([Answer::code(Code::Ok)]);
    let (messages, request) = streaming();
    messages.send(Err(Status::unavailable("the caller's own"))).unwrap();
    let answer = call(&peer, request, (1024, allowance())).await;
    assert_eq!(answer.map(drop).unwrap_err().message(), "the caller's own");
    assert_eq!(peer.seen().len(), 1);
}
