//! Places among the calls in flight are for work: neither for callers that send their message slowly,
//! nor for those that do not read their answer.

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http_body::Frame;
use http_body_util::BodyExt as _;
use tonic::Code;

use crate::harness::{Handler, UNARY, answer, connect, ok, post, serve};

/// A message of one byte.
const MESSAGE: &[u8] = &[0, 0, 0, 0, 1, 7];
const ONE_PLACE: [(&str, &str); 2] =
    [("SEAWALL_SERVER_CONCURRENCY_LIMIT", "fixed"), ("SEAWALL_SERVER_CONCURRENCY_MAX", "1")];

/// Answers with what it was sent.
fn echo() -> Handler {
    Handler::new(|request| async {
        match request.into_body().collect().await {
            Ok(body) => answer(tokio_stream::iter([Frame::data(body.to_bytes()), ok()].map(Ok))),
            Err(status) => status.into_http(),
        }
    })
}

/// Begins a call with all the time of the world.
async fn begin(sender: &SendRequest<Bytes>) -> (ResponseFuture, SendStream<Bytes>) {
    let request = post(UNARY).header("grpc-timeout", "1H").body(()).unwrap();
    sender.clone().ready().await.unwrap().send_request(request, false).unwrap()
}

async fn end(answer: ResponseFuture) -> Result<(Code, Bytes), h2::Error> {
    let (head, mut body) = answer.await?.into_parts();
    let mut message = Vec::new();
    while let Some(data) = body.data().await {
        message.extend(data?);
    }
    let trailers = body.trailers().await?.unwrap_or(head.headers);
    Ok((Code::from_bytes(trailers["grpc-status"].as_bytes()), message.into()))
}

async fn call(sender: &SendRequest<Bytes>) -> (Code, Bytes) {
    let (answer, mut body) = begin(sender).await;
    body.send_data(Bytes::from_static(MESSAGE), true).unwrap();
    end(answer).await.unwrap()
}

const ECHOED: (Code, Bytes) = (Code::Ok, Bytes::from_static(MESSAGE));

#[tokio::test]
async fn a_message_on_its_way_has_no_place_yet() {
    let (address, _shutdown) = serve(&ONE_PLACE, echo()).await;
    let (sender, _driver) = connect(address, &h2::client::Builder::new()).await;
    let (slow, mut body) = begin(&sender).await;
    body.send_data(Bytes::from_static(&MESSAGE[..3]), false).unwrap();
    for _ in 0..3 {
        assert_eq!(call(&sender).await, ECHOED);
    }
    body.send_data(Bytes::from_static(&MESSAGE[3..]), true).unwrap();
    assert_eq!(end(slow).await.unwrap(), ECHOED, "what comes in pieces comes as well");
}

#[tokio::test]
async fn an_answer_that_waits_for_its_reader_has_left_its_place() {
    let (address, _shutdown) = serve(&ONE_PLACE, echo()).await;
    let (stuck, _driver) = connect(address, h2::client::Builder::new().initial_window_size(0)).await;
    let (answer, mut body) = begin(&stuck).await;
    body.send_data(Bytes::from_static(MESSAGE), true).unwrap();
    let _unread = answer.await.unwrap();
    assert_eq!(call(&connect(address, &h2::client::Builder::new()).await.0).await, ECHOED);
}

#[tokio::test]
async fn a_message_that_does_not_come_ends_its_call() {
    let (address, _shutdown) = serve(&[("SEAWALL_SERVER_MESSAGE_TIMEOUT", "100ms")], echo()).await;
    let (sender, _driver) = connect(address, &h2::client::Builder::new()).await;
    let (answer, mut body) = begin(&sender).await;
    body.send_data(Bytes::from_static(&MESSAGE[..3]), false).unwrap();
    assert_eq!(end(answer).await.unwrap().0, Code::DeadlineExceeded);
    assert_eq!(call(&sender).await, ECHOED, "the connection is as good as before");
}

#[tokio::test]
async fn an_answer_that_is_not_read_in_time_is_dropped() {
    let (address, _shutdown) = serve(&[("SEAWALL_SERVER_MESSAGE_TIMEOUT", "100ms")], echo()).await;
    let (stuck, _driver) = connect(address, h2::client::Builder::new().initial_window_size(0)).await;
    let (answer, mut body) = begin(&stuck).await;
    body.send_data(Bytes::from_static(MESSAGE), true).unwrap();
    assert_eq!(end(answer).await.unwrap_err().reason(), Some(h2::Reason::CANCEL));
}

#[tokio::test]
async fn large_messages_on_their_way_have_bounds_and_small_ones_pass() {
    let (address, _shutdown) = serve(&[("SEAWALL_SERVER_MESSAGE_BYTES_MAX", "20000")], echo()).await;
    let (sender, _driver) = connect(address, &h2::client::Builder::new()).await;
    // All but the last byte of as many as there is room for, and of more.
    let part = Bytes::from([&[0, 0, 0, 0x4e, 0x20][..], &[7; 19_999]].concat());
    let mut calls = Vec::new();
    for _ in 0..12 {
        let (answer, mut body) = begin(&sender).await;
        body.send_data(part.clone(), false).unwrap();
        calls.push((answer, body));
    }
    let (last, _body) = calls.pop().unwrap();
    assert_eq!(last.await.unwrap().headers()["grpc-status"], "14");
    assert_eq!(call(&sender).await, ECHOED);
}
