//! Places among the calls in flight are for work: neither for callers that send their message slowly,
//! nor for those that do not read their answer.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, HeaderName, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use seawall_config::Reader;
use seawall_server::{Config, Server};
use seawall_shutdown::Shutdown;
use tokio::net::TcpStream;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower::Service;

const UNARY: &str = "/test.Echo/Unary";
/// A message of one byte.
const MESSAGE: &[u8] = &[0, 0, 0, 0, 1, 7];
const ONE_PLACE: [(&str, &str); 2] =
    [("SEAWALL_SERVER_CONCURRENCY_LIMIT", "fixed"), ("SEAWALL_SERVER_CONCURRENCY_MAX", "1")];

/// Answers with what it was sent.
#[derive(Debug, Clone)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

impl Service<Request<Body>> for Echo {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(async move {
            let message = match request.into_body().collect().await {
                Ok(body) => body.to_bytes(),
                Err(status) => return Ok(status.into_http()),
            };
            let trailers = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), "0".parse().unwrap())]);
            let frames = [Frame::data(message), Frame::trailers(trailers)].map(Ok::<_, Status>);
            let mut response = Response::new(Body::new(StreamBody::new(tokio_stream::iter(frames))));
            response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
            Ok(response)
        })
    }
}

/// Serves with these settings beside the usual ones.
async fn serve(settings: &[(&str, &str)]) -> (SocketAddr, Shutdown) {
    let mut variables =
        vec![("SEAWALL_SERVER_LISTEN", "127.0.0.1:0"), ("SEAWALL_SERVER_METRICS_LISTEN", "127.0.0.1:0")];
    variables.extend(settings);
    let config = Config::read(&mut Reader::new("", "", variables).section("server"), 0, 0);
    let server = Server::try_new(config, seawall_proto::FILE_DESCRIPTOR_SET).unwrap();
    let bound = server.add_service(Echo).bind().await.unwrap();
    let address = bound.address().unwrap();
    let shutdown = Shutdown::new(Duration::from_secs(5));
    tokio::spawn(bound.run(shutdown.clone()));
    (address, shutdown)
}

async fn connect(address: SocketAddr, builder: &h2::client::Builder) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = builder.handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender.ready().await.unwrap()
}

/// Begins a call with all the time of the world.
async fn begin(sender: &SendRequest<Bytes>) -> (ResponseFuture, SendStream<Bytes>) {
    let request = Request::post(format!("http://test{UNARY}")).header("content-type", "application/grpc");
    let request = request.header("te", "trailers").header("grpc-timeout", "1H").body(()).unwrap();
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
    let (address, _shutdown) = serve(&ONE_PLACE).await;
    let sender = connect(address, &h2::client::Builder::new()).await;
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
    let (address, _shutdown) = serve(&ONE_PLACE).await;
    let stuck = connect(address, h2::client::Builder::new().initial_window_size(0)).await;
    let (answer, mut body) = begin(&stuck).await;
    body.send_data(Bytes::from_static(MESSAGE), true).unwrap();
    let _unread = answer.await.unwrap();
    assert_eq!(call(&connect(address, &h2::client::Builder::new()).await).await, ECHOED);
}

#[tokio::test]
async fn a_message_that_does_not_come_ends_its_call() {
    let (address, _shutdown) = serve(&[("SEAWALL_SERVER_MESSAGE_TIMEOUT", "100ms")]).await;
    let sender = connect(address, &h2::client::Builder::new()).await;
    let (answer, mut body) = begin(&sender).await;
    body.send_data(Bytes::from_static(&MESSAGE[..3]), false).unwrap();
    assert_eq!(end(answer).await.unwrap().0, Code::DeadlineExceeded);
    assert_eq!(call(&sender).await, ECHOED, "the connection is as good as before");
}

#[tokio::test]
async fn an_answer_that_is_not_read_in_time_is_dropped() {
    let (address, _shutdown) = serve(&[("SEAWALL_SERVER_MESSAGE_TIMEOUT", "100ms")]).await;
    let stuck = connect(address, h2::client::Builder::new().initial_window_size(0)).await;
    let (answer, mut body) = begin(&stuck).await;
    body.send_data(Bytes::from_static(MESSAGE), true).unwrap();
    assert_eq!(end(answer).await.unwrap_err().reason(), Some(h2::Reason::CANCEL));
}

#[tokio::test]
async fn large_messages_on_their_way_have_bounds_and_small_ones_pass() {
    let (address, _shutdown) = serve(&[("SEAWALL_SERVER_MESSAGE_BYTES_MAX", "20000")]).await;
    let sender = connect(address, &h2::client::Builder::new()).await;
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
