//! Streams whose callers leave unread what there is to read. Time stands still but for what is waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::{Builder, SendRequest};
use http_body::Frame;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::StreamExt as _;

use crate::harness::{EMPTY, Handler, Pipes, STREAM, UNARY, answer, ok, post};

/// The settings' own.
const STALL_TIMEOUT: Duration = Duration::from_secs(300);
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);
/// What a timer may be late by.
const SLACK: Duration = Duration::from_secs(1);
/// A message without fields that is as long as a stream's window of a peer that has said nothing.
const WINDOW_BYTES: usize = 65_535;

/// A stream of messages without end, which counts those that were asked for.
fn endless(asked: Arc<AtomicUsize>) -> Handler {
    Handler::new(move |_| {
        let asked = Arc::clone(&asked);
        async move {
            let messages = tokio_stream::iter(std::iter::repeat_with(move || {
                asked.fetch_add(1, Ordering::Relaxed);
                Ok(Frame::data(Bytes::from_static(&[0; WINDOW_BYTES])))
            }));
            answer(messages)
        }
    })
}

/// Calls a method with a message without fields and all the time of the world; with the answer's body, or
/// the reason why there is none.
async fn call(sender: &SendRequest<Bytes>, path: &str) -> Result<RecvStream, h2::Error> {
    let request = post(path).header("grpc-timeout", "10H").body(()).unwrap();
    let (answer, mut body) = sender.clone().ready().await.unwrap().send_request(request, false).unwrap();
    body.send_data(EMPTY.into(), true).unwrap();
    Ok(answer.await?.into_body())
}

/// Reads so much of an answer.
async fn read(body: &mut RecvStream, bytes: usize) {
    let mut rest = bytes;
    while rest > 0 {
        let read = body.data().await.expect("there is more").expect("it was read in time").len();
        body.flow_control().release_capacity(read).unwrap();
        rest -= read;
    }
}

/// When the answer ends, if no more of it is read.
async fn ended(body: &mut RecvStream) -> (Duration, Option<h2::Reason>) {
    let begun = Instant::now();
    // What has come lies there, and does not count as read until its room is given back.
    while let Some(data) = body.data().await {
        if let Err(error) = data {
            return (begun.elapsed(), error.reason());
        }
    }
    (begun.elapsed(), None)
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_read_is_dropped_and_leaves_its_place() {
    let settings = [("SEAWALL_SERVER_STREAMS_MAX", "1")];
    let server = Pipes::serve(&settings, endless(Arc::default()));
    let (stuck, other) = (server.connect(&Builder::new()).await, server.connect(&Builder::new()).await);
    let mut unread = call(&stuck, STREAM).await.unwrap();
    let refused = call(&other, STREAM).await.unwrap();
    assert!(refused.is_end_stream(), "there is one place, and it is taken");
    let (after, reason) = ended(&mut unread).await;
    assert_eq!(reason, Some(h2::Reason::CANCEL));
    assert!(after >= STALL_TIMEOUT && after < STALL_TIMEOUT + SLACK, "{after:?}");
    let served = call(&other, STREAM).await.unwrap();
    assert!(!served.is_end_stream(), "the place is free");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_read_slowly_goes_on() {
    const PAUSE: Duration = Duration::from_secs(240);
    let asked = Arc::new(AtomicUsize::new(0));
    let server = Pipes::serve(&[], endless(Arc::clone(&asked)));
    let sender = server.connect(&Builder::new()).await;
    let mut body = call(&sender, STREAM).await.unwrap();
    for _ in 0..5 {
        sleep(PAUSE).await;
        read(&mut body, WINDOW_BYTES).await;
    }
    let before = asked.load(Ordering::Relaxed);
    let (after, reason) = ended(&mut body).await;
    assert_eq!(reason, Some(h2::Reason::CANCEL));
    assert!(after >= STALL_TIMEOUT && after < STALL_TIMEOUT + SLACK, "{after:?}");
    assert!(asked.load(Ordering::Relaxed) <= before + 2, "what nobody reads is not asked for");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_has_nothing_to_say_for_long_is_not_one_that_is_not_read() {
    const SILENCE: Duration = Duration::from_secs(1_000);
    let server = Pipes::serve(
        &[],
        Handler::new(|_| async {
            let pauses = tokio_stream::iter([Duration::ZERO, SILENCE]).then(|pause| async move {
                sleep(pause).await;
                Ok(Frame::data(Bytes::from_static(EMPTY)))
            });
            answer(pauses.chain(tokio_stream::iter([Ok(ok())])))
        }),
    );
    let sender = server.connect(&Builder::new()).await;
    let mut body = call(&sender, STREAM).await.unwrap();
    for _ in 0..2 {
        assert_eq!(body.data().await.unwrap().unwrap(), EMPTY);
    }
    assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
}

#[tokio::test(start_paused = true)]
async fn a_large_answer_of_which_only_the_beginning_is_read_is_dropped_as_soon() {
    let large = || answer(tokio_stream::iter([Frame::data(Bytes::from_static(&[0; 8 * WINDOW_BYTES])), ok()].map(Ok)));
    let server = Pipes::serve(&[], Handler::new(move |_| async move { large() }));
    let sender = server.connect(&Builder::new()).await;
    let mut unread = call(&sender, UNARY).await.unwrap();
    let ended = timeout(2 * MESSAGE_TIMEOUT, ended(&mut unread)).await;
    let (after, reason) = ended.expect("it is held for as long as the connection lasts");
    assert_eq!(reason, Some(h2::Reason::CANCEL));
    assert!(after >= MESSAGE_TIMEOUT && after < MESSAGE_TIMEOUT + SLACK, "{after:?}");
    // Who reads it has all of it. On another connection, since the room of this one is taken.
    let mut body = call(&server.connect(&Builder::new()).await, UNARY).await.unwrap();
    read(&mut body, 8 * WINDOW_BYTES).await;
    assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
}
