//! How a server conducts itself with single calls and connections, good and bad.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, StatusCode};
use http_body::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::{Code, Status};

use crate::harness::{EMPTY, Handler, STREAM, UNARY, answer, connect, post, serve};

const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
/// The preface and SETTINGS, as a client begins.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const GOAWAY: u8 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// Panics: a unary method before it answers, a stream after the first message.
fn panics() -> Handler {
    Handler::new(|request| async move {
        assert_eq!(request.uri().path(), STREAM, "the handler is wrong");
        let frames: [fn() -> Frame<Bytes>; 2] =
            [|| Frame::data(Bytes::from_static(EMPTY)), || panic!("the handler is wrong")];
        answer(tokio_stream::StreamExt::map(tokio_stream::iter(frames), |frame| Ok::<_, Status>(frame())))
    })
}

/// What came of a call: the status of HTTP, the code, and how many bytes of messages there were.
type Outcome = Result<(StatusCode, Option<Code>, usize), h2::Error>;

async fn call(sender: &SendRequest<Bytes>, request: http::request::Builder, body: &[u8]) -> Outcome {
    let (answer, mut send) = sender.clone().ready().await?.send_request(request.body(()).unwrap(), false)?;
    // The server may have answered and reset the stream already.
    let _ = send.send_data(Bytes::copy_from_slice(body), true);
    let (head, mut body) = answer.await?.into_parts();
    let code = |headers: &HeaderMap| headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()));
    let mut bytes = 0;
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes += data.len();
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    Ok((head.status, code(&head.headers).or(code(&trailers)), bytes))
}

async fn called(
    path: &str,
    change: impl FnOnce(http::request::Builder) -> http::request::Builder,
    body: &[u8],
) -> (StatusCode, Option<Code>) {
    let (address, _shutdown) = serve(&[], panics()).await;
    let (sender, _driver) = connect(address, &h2::client::Builder::new()).await;
    let (status, code, _) = call(&sender, change(post(path)), body).await.unwrap();
    // What was wrong with one call harms no other.
    let next = call(&sender, post(CHECK), EMPTY).await.unwrap();
    assert_eq!((next.0, next.1), (StatusCode::OK, Some(Code::Ok)));
    (status, code)
}

/// Sends bytes, and reads until the server closes; returns the reason of its GOAWAY and the text.
async fn goodbye(address: SocketAddr, bytes: &[u8]) -> Option<(u32, String)> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut answer).await;
    let mut rest = &answer[..];
    while let [a, b, c, kind, _, _, _, _, _, payload @ ..] = rest {
        let (payload, next) = payload.split_at(u32::from_be_bytes([0, *a, *b, *c]) as usize);
        if *kind == GOAWAY {
            let reason = u32::from_be_bytes(payload[4..8].try_into().unwrap());
            return Some((reason, String::from_utf8_lossy(&payload[8..]).into_owned()));
        }
        rest = next;
    }
    None
}

#[tokio::test]
async fn what_is_no_call_is_answered_in_the_terms_of_http() {
    let get = called(CHECK, |_| Request::get(format!("http://test{CHECK}")), &[]).await;
    assert_eq!(get, (StatusCode::METHOD_NOT_ALLOWED, None));
    let json = |_| Request::post(format!("http://test{CHECK}")).header("content-type", "application/json");
    assert_eq!(called(CHECK, json, b"{}").await, (StatusCode::UNSUPPORTED_MEDIA_TYPE, None));
}

#[tokio::test]
async fn people_who_come_without_a_client_are_told_what_this_is() {
    let (address, _shutdown) = serve(&[], Handler::none()).await;
    let (sender, _driver) = connect(address, &h2::client::Builder::new()).await;
    let url = format!("http://test{CHECK}");
    let json = Request::post(&url).header("content-type", "application/json");
    for (request, has_text) in [(Request::get(&url), true), (json, true), (Request::head(&url), false)] {
        let (status, code, bytes) = call(&sender, request, &[]).await.unwrap();
        assert!(status.is_client_error() && code.is_none());
        assert_eq!(bytes > 0, has_text, "{status}");
    }
}

#[tokio::test]
async fn binary_metadata_that_is_not_base64_is_refused() {
    let refused = called(CHECK, |call| call.header("key-bin", "A"), EMPTY).await;
    assert_eq!(refused, (StatusCode::OK, Some(Code::InvalidArgument)));
}

#[tokio::test]
async fn a_unary_call_has_one_message() {
    let two = [EMPTY, EMPTY].concat();
    for body in [&[][..], &two] {
        assert_eq!(called(CHECK, |call| call, body).await, (StatusCode::OK, Some(Code::Unimplemented)));
    }
}

#[tokio::test]
async fn a_message_over_the_limit_exhausts_a_resource() {
    assert_eq!(called(CHECK, |call| call, &[0, 0, 64, 0, 1]).await, (StatusCode::OK, Some(Code::ResourceExhausted)));
}

#[tokio::test]
async fn a_handler_that_panics_is_internal_and_harms_no_other_call() {
    assert_eq!(called(UNARY, |call| call, EMPTY).await, (StatusCode::OK, Some(Code::Internal)));
    assert_eq!(called(STREAM, |call| call, EMPTY).await, (StatusCode::OK, Some(Code::Internal)));
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let (address, _shutdown) = serve(&[("SEAWALL_SERVER_HANDSHAKE_TIMEOUT", "100ms")], Handler::none()).await;
    assert_eq!(goodbye(address, b"").await, None);
    assert_eq!(goodbye(address, &HELLO[..24]).await, None);
}

#[tokio::test]
async fn headers_without_end_are_not_waited_for() {
    let (address, _shutdown) = serve(&[("SEAWALL_SERVER_HANDSHAKE_TIMEOUT", "100ms")], Handler::none()).await;
    // HEADERS of stream 1 without END_HEADERS, and half a frame of them.
    let open = [HELLO, b"\0\0\x01\x01\0\0\0\0\x01\x83"].concat();
    let half = [HELLO, b"\0\0\x09\x01\x04\0\0\0\x01\x83"].concat();
    for bytes in [open, half] {
        assert_eq!(goodbye(address, &bytes).await, Some((ENHANCE_YOUR_CALM, "slow_headers".into())));
    }
}

#[tokio::test]
async fn pings_and_settings_in_a_flood_are_too_many() {
    let (address, _shutdown) = serve(&[], Handler::none()).await;
    let ping = b"\0\0\x08\x06\0\0\0\0\0\0\0\0\0\0\0\0\0".repeat(4);
    let settings = b"\0\0\0\x04\0\0\0\0\0".repeat(4);
    for flood in [ping, settings] {
        let told = goodbye(address, &[HELLO, &flood].concat()).await;
        assert_eq!(told, Some((ENHANCE_YOUR_CALM, "too_many_pings".into())));
    }
}

#[tokio::test]
async fn data_without_content_in_a_flood_is_too_much() {
    let (address, _shutdown) = serve(&[], Handler::none()).await;
    // POST, http, the path and the content type, as HPACK's static table has them.
    let mut fields = vec![0x83, 0x86, 0x04, CHECK.len() as u8];
    fields.extend(CHECK.as_bytes());
    fields.extend([0x0f, 0x10, 16]);
    fields.extend(b"application/grpc");
    let headers = [&[0, 0, fields.len() as u8, 1, 4, 0, 0, 0, 1], &fields[..]].concat();
    let told = goodbye(address, &[HELLO, &headers, &b"\0\0\0\0\0\0\0\0\x01".repeat(101)].concat()).await;
    assert_eq!(told, Some((ENHANCE_YOUR_CALM, "too_many_empty_frames".into())));
}

#[tokio::test]
async fn an_old_connection_is_told_to_go_away_and_its_calls_go_on() {
    let settings = [("SEAWALL_SERVER_CONNECTION_AGE_MAX", "100ms"), ("SEAWALL_SERVER_CONNECTION_AGE_GRACE", "1h")];
    let (address, _shutdown) = serve(&settings, Handler::none()).await;
    let (sender, driver) = connect(address, &h2::client::Builder::new()).await;
    let watched = call(&sender, post(WATCH).header("grpc-timeout", "600m"), EMPTY).await;
    let (_, code, bytes) = watched.unwrap();
    assert_eq!(code, Some(Code::DeadlineExceeded), "the call ends by itself, not with the connection");
    assert!(bytes > 0);
    drop(sender);
    driver.await.unwrap().unwrap();
}

#[tokio::test]
async fn calls_that_outlast_the_grace_end_with_the_connection() {
    let settings = [("SEAWALL_SERVER_CONNECTION_AGE_MAX", "50ms"), ("SEAWALL_SERVER_CONNECTION_AGE_GRACE", "100ms")];
    let (address, _shutdown) = serve(&settings, Handler::none()).await;
    let (sender, driver) = connect(address, &h2::client::Builder::new()).await;
    assert!(call(&sender, post(WATCH).header("grpc-timeout", "1H"), EMPTY).await.is_err());
    let _ = driver.await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_told_to_go_away_and_a_busy_one_is_not() {
    let (address, _shutdown) = serve(&[("SEAWALL_SERVER_CONNECTION_IDLE_TIMEOUT", "200ms")], Handler::none()).await;
    let (sender, driver) = connect(address, &h2::client::Builder::new()).await;
    let (_, code, _) = call(&sender, post(WATCH).header("grpc-timeout", "500m"), EMPTY).await.unwrap();
    assert_eq!(code, Some(Code::DeadlineExceeded));
    // Not dropped, so that the end is the server's doing.
    driver.await.unwrap().unwrap();
    assert!(sender.ready().await.is_err());
}

#[tokio::test]
async fn an_answer_that_nobody_reads_ends_after_its_deadline() {
    let (address, _shutdown) = serve(&[], Handler::none()).await;
    let (sender, _driver) = connect(address, h2::client::Builder::new().initial_window_size(0)).await;
    let error = call(&sender, post(CHECK).header("grpc-timeout", "100m"), EMPTY).await.unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::CANCEL), "{error}");
}

#[tokio::test]
async fn what_is_no_http2_is_hung_up_on_and_not_reset() {
    let (address, _shutdown) = serve(&[], Handler::none()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    // Longer than a preface: what is not read of it would have the connection reset.
    stream.write_all(b"INVALID CONNECTION PREFACE\r\n\r\n, and more of it").await.unwrap();
    stream.read_to_end(&mut Vec::new()).await.expect("the end, and no reset");
}
