//! The messages of a body.

use std::convert::Infallible;
use std::future::ready;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use seawall_message::{Expected, MessageBody, ServerLayer};
use tonic::{Code, Status};
use tower::{Layer as _, Service as _};

/// A body is judged alike however it is cut into frames, and as its lengths say. The first byte is the
/// most that a message may have, the second how it is cut, the third whether there may be many.
pub(crate) fn message(bytes: &[u8]) {
    let [bytes_max, cut, is_stream, body @ ..] = bytes else { return };
    let expected = Expected { bytes_max: usize::from(*bytes_max), is_stream: is_stream % 2 == 1 };
    let whole = judged(expected, body, body.len().max(1));
    assert_eq!(judged(expected, body, usize::from(*cut).max(1)), whole);
    assert_eq!(whole, model(expected, body));
}

fn judged(expected: Expected, body: &[u8], cut: usize) -> Result<usize, Code> {
    let frames: Vec<_> = body.chunks(cut).map(|part| Ok(Frame::data(Bytes::copy_from_slice(part)))).collect();
    let body = StreamBody::new(futures_util::stream::iter::<Vec<Result<_, Status>>>(frames));
    let read = tower::service_fn(|request: Request<MessageBody<_>>| ready(Ok::<_, Infallible>(request.into_body())));
    let body = ServerLayer::new(|_: &str| expected).layer(read).call(Request::new(body));
    let Some(Ok(body)) = body.now_or_never() else { unreachable!("it does not wait") };
    let read = body.collect().now_or_never().expect("it does not wait");
    read.map(|read| read.to_bytes().len()).map_err(|status| status.code())
}

/// What the body is, read as a whole.
fn model(expected: Expected, body: &[u8]) -> Result<usize, Code> {
    let (mut rest, mut messages) = (body, 0);
    while let [_, a, b, c, d, after @ ..] = rest {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        if messages == 1 && !expected.is_stream {
            return Err(Code::Unimplemented);
        }
        if length > expected.bytes_max {
            return Err(Code::ResourceExhausted);
        }
        messages += 1;
        let Some(after) = after.get(length..) else { return Err(Code::Internal) };
        rest = after;
    }
    match (rest, messages) {
        ([], 0) if !expected.is_stream => Err(Code::Unimplemented),
        ([], _) => Ok(body.len()),
        _ => Err(Code::Internal),
    }
}
