//! Requests and answers that are longer than what may be sent before it is read.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::stream;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use seawall_client::{Channel, Config};
use seawall_config::Reader;
use seawall_policy::Policies;
use tokio::net::TcpListener;
use tonic::Status;
use tonic::body::Body;
use tower::{Service, ServiceExt as _};

/// More than the 64 KiB that a peer takes before it has read anything, unless it says otherwise.
const WHOLE_BYTES: usize = 200 << 10;
/// More than what the client takes before it has read anything.
const LONG_BYTES: usize = 3 << 20;

/// Sends each request back.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, respond))) = connection.accept().await {
            tokio::spawn(echoed(request.into_body(), respond));
        }
    });
    address
}

async fn echoed(mut request: RecvStream, mut respond: SendResponse<Bytes>) {
    let mut whole = Vec::new();
    while let Some(data) = request.data().await {
        let data = data.unwrap();
        request.flow_control().release_capacity(data.len()).unwrap();
        whole.extend(data);
    }
    let headers = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let mut answer: SendStream<Bytes> = respond.send_response(headers, false).unwrap();
    // h2 holds it until the client has room.
    answer.send_data(whole.into(), false).unwrap();
    answer
        .send_trailers(HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]))
        .unwrap();
}

/// A message of that many bytes.
fn message(bytes: usize) -> Bytes {
    let mut message = vec![0];
    message.extend(u32::try_from(bytes).unwrap().to_be_bytes());
    message.extend((0..bytes).map(|at| (at % 251) as u8));
    message.into()
}

async fn sent_back(body: Body) -> Bytes {
    let variables = [("SEAWALL_PEER_ADDRESS", format!("http://{}", echo().await))];
    let config = Config::read(&mut Reader::new("", "", variables).section("peer"), "http://127.0.0.1:1");
    let mut channel = Channel::new("peer", &config, &Policies::default());
    let request = Request::post("/a.B/C").header("content-type", "application/grpc").body(body).unwrap();
    let answer = channel.ready().await.unwrap().call(request).await.unwrap();
    let answer = answer.into_body().collect().await.unwrap();
    assert_eq!(answer.trailers().unwrap()["grpc-status"], "0");
    answer.to_bytes()
}

#[tokio::test]
async fn a_request_of_one_frame_arrives_though_the_peer_has_no_room_for_it_yet() {
    let whole = message(WHOLE_BYTES);
    assert!(sent_back(Body::new(Full::new(whole.clone()))).await == whole);
}

#[tokio::test]
async fn a_request_of_many_frames_arrives_and_a_long_answer_comes_back() {
    let whole = message(LONG_BYTES);
    let mut rest = whole.clone();
    let frames = std::iter::from_fn(move || (!rest.is_empty()).then(|| rest.split_to(rest.len().min(100_000))));
    let frames: Vec<_> = frames.map(|data| Ok::<_, Infallible>(Frame::data(data))).collect();
    assert!(sent_back(Body::new(StreamBody::new(stream::iter(frames)))).await == whole);
}

#[tokio::test]
async fn the_trailers_of_a_request_end_it() {
    let whole = message(10);
    let frames = [Frame::data(whole.clone()), Frame::trailers(HeaderMap::new())].map(Ok::<_, Status>);
    assert_eq!(sent_back(Body::new(StreamBody::new(stream::iter(frames)))).await, whole);
}
