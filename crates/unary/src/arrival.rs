//! The message of a request, if that is all there is to it.

use std::any::Any;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use prost::Message;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::StdError;

/// What stands before a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

type ReadFrame = Result<Frame<Bytes>, Status>;

/// Reads a message of at most `bytes_max` bytes that is one frame and all of the body.
///
/// # Errors
/// If there is anything else: the body as if none of it had been read.
pub(crate) async fn message<D, B>(body: B, bytes_max: usize) -> Result<D, Read>
where
    D: Message + Default,
    B: http_body::Body + Send + 'static,
    B::Error: Into<StdError>,
{
    let mut rest = boxed(body);
    let first = next(&mut rest).await;
    let data = first.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
    let Some(bytes) = data.and_then(|data| content(data, bytes_max)) else {
        return Err(Read { frames: [first, None], rest });
    };
    // Not decoded before it is known to be all: what else there is may be why a call fails.
    let second = if http_body::Body::is_end_stream(&rest) { None } else { next(&mut rest).await };
    let message = if second.is_none() { D::decode(bytes).ok() } else { None };
    message.ok_or(Read { frames: [first, second], rest })
}

/// The one message in `data`, without its prefix.
fn content(data: &Bytes, bytes_max: usize) -> Option<&[u8]> {
    let (prefix, content) = data.split_at_checked(PREFIX_BYTES)?;
    let [0, a, b, c, d] = *prefix else { return None };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    (length == content.len() && length <= bytes_max).then_some(content)
}

/// The body as tonic has it, which costs nothing if it is one: that of a request to a server is.
fn boxed<B>(body: B) -> Body
where
    B: http_body::Body + Send + 'static,
    B::Error: Into<StdError>,
{
    let mut body = Some(body);
    if let Some(body) = <dyn Any>::downcast_mut::<Option<Body>>(&mut body) {
        return body.take().unwrap_or_default();
    }
    let to_bytes = |frame: Frame<B::Data>| frame.map_data(|mut data| data.copy_to_bytes(data.remaining()));
    body.map(|body| Body::new(body.map_frame(to_bytes))).unwrap_or_default()
}

async fn next(body: &mut Body) -> Option<ReadFrame> {
    poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut *body), cx)).await
}

/// A body of which the beginning was read.
#[derive(Debug)]
pub(crate) struct Read {
    frames: [Option<ReadFrame>; 2],
    rest: Body,
}

impl http_body::Body for Read {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ReadFrame>> {
        match self.frames.iter_mut().find_map(Option::take) {
            Some(frame) => Poll::Ready(Some(frame)),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.iter().all(Option::is_none) && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
