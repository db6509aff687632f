//! A call that nobody waits for any more: the peer is told, whatever part of it still goes on.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::poll_fn;
use futures_util::stream;
use h2::Reason;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use seawall_client::{Channel, Config};
use seawall_config::Reader;
use seawall_policy::Policies;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::Status;
use tonic::body::Body;
use tower::{Service, ServiceExt as _};

/// A message without fields.
const EMPTY: &[u8] = &[0, 0, 0, 0, 0];

/// Answers the first call with headers and a message, says nothing more, and sends on why the call was reset.
async fn peer() -> (SocketAddr, oneshot::Receiver<Reason>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, reset) = oneshot::channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
        tokio::spawn(async move { while connection.accept().await.is_some() {} });
        let headers = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
        let mut answer = respond.send_response(headers, false).unwrap();
        answer.send_data(Bytes::from_static(EMPTY), false).unwrap();
        let reason = poll_fn(|cx| answer.poll_reset(cx)).await.unwrap();
        let _ = sender.send(reason);
    });
    (address, reset)
}

fn channel(address: SocketAddr) -> Channel {
    let mut reader = Reader::new("", "", [("SEAWALL_PEER_ADDRESS", format!("http://{address}"))]);
    let config = Config::read(&mut reader.section("peer"), "http://127.0.0.1:1");
    Channel::new("peer", &config, &Policies::default())
}

/// One message, and no end.
fn endless(held: oneshot::Sender<()>) -> Body {
    let first = stream::iter([Ok::<_, Status>(Frame::data(Bytes::from_static(EMPTY)))]);
    let rest = stream::once(async move {
        let _held = held;
        std::future::pending().await
    });
    Body::new(StreamBody::new(first.chain(rest)))
}

#[tokio::test]
async fn a_peer_is_told_that_its_answer_was_dropped_while_the_request_goes_on() {
    let (address, reset) = peer().await;
    let (held, is_let_go) = oneshot::channel();
    let request = Request::post("/a.B/C").header("content-type", "application/grpc").body(endless(held)).unwrap();
    let answer = channel(address).ready().await.unwrap().call(request).await.unwrap();
    drop(answer);
    assert_eq!(reset.await.unwrap(), Reason::CANCEL);
    assert!(is_let_go.await.is_err(), "the request is held on to");
}
