//! Headers that Seawall reads.

use std::convert::Infallible;
use std::future::ready;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::Empty;
use seawall_deadline::{format_timeout, parse_timeout};
use seawall_propagation::Propagated;
use seawall_retry::{GRPC_RETRY_PUSHBACK_MS, Pushback};
use seawall_telemetry::{ClientLayer, ServerLayer, trace_id};
use tower::{Layer as _, Service as _};

/// A timeout that can be read is written as one that is no longer, and that one as itself.
pub(crate) fn timeout(bytes: &[u8]) {
    let Ok(timeout) = parse_timeout(bytes) else { return };
    assert!(bytes.len() <= 9, "eight digits and a unit");
    let written = format_timeout(timeout);
    let read = parse_timeout(written.as_bytes()).expect("what we write can be read");
    assert!(read <= timeout, "{timeout:?} became {read:?}");
    assert!(timeout - read <= timeout / 1_000, "{timeout:?} became {read:?}");
    assert_eq!(format_timeout(read), written);
}

/// A server cannot make a client wait for longer than a signed 32-bit integer of milliseconds.
pub(crate) fn pushback(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(GRPC_RETRY_PUSHBACK_MS, value);
        }
    }
    match Pushback::read(&headers) {
        None => assert!(headers.is_empty()),
        Some(Pushback::Stop) => {}
        Some(Pushback::After(after)) => {
            assert!(after <= Duration::from_millis(i32::MAX as u64));
            assert_eq!(headers[GRPC_RETRY_PUSHBACK_MS], after.as_millis().to_string());
        }
    }
}

/// The headers that lines say, `name: value`.
pub(crate) fn headers(bytes: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(&line[colon + 1..]));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

/// What was read is written so that the next one reads the same.
pub(crate) fn propagation(bytes: &[u8]) {
    let read = Propagated::read(&headers(bytes));
    let mut written = HeaderMap::new();
    read.write(&mut written);
    assert_eq!(Propagated::read(&written), read);
}

/// Whatever a caller says of its trace, the call has one, and hands on the same.
pub(crate) fn trace_context(bytes: &[u8]) {
    let inner = tower::service_fn(|_: Request<()>| {
        let id = trace_id().expect("every call has a trace");
        let is_hex = id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        assert!(id.len() == 32 && is_hex, "{id:?}");
        let next = tower::service_fn(move |request: Request<()>| {
            let parent = request.headers()["traceparent"].to_str().expect("it is text");
            assert_eq!(parent.len(), 55, "{parent:?}");
            assert_eq!(&parent[..36], format!("00-{id}-"));
            ready(Ok::<_, Infallible>(Response::new(Empty::<&[u8]>::new())))
        });
        let mut next = ClientLayer::new("next", "next", 1, []).layer(next);
        ready(next.call(Request::new(())).now_or_never().expect("it does not wait"))
    });
    let mut request = Request::new(());
    *request.headers_mut() = headers(bytes);
    let mut server = ServerLayer::new([]).layer(inner);
    let answered = server.call(request).now_or_never().expect("it does not wait");
    assert!(answered.is_ok());
}
