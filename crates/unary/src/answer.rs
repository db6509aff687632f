//! The body of an answer: a message, then `grpc-status: 0`.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use prost::Message;
use tonic::Status;
use tonic::body::Body;
use tonic::codec::{EncodeBody, SingleMessageCompressionOverride};
use tonic::codegen::tokio_stream;
use tonic_prost::ProstEncoder;

/// As many headers as tonic makes room for: one for the status, the others for whoever adds to them.
const TRAILERS: usize = 3;

/// The body that answers with `message`, which may have so many bytes.
pub(crate) fn body<E: Message + 'static>(message: E, bytes_max: Option<usize>) -> Body {
    let length = message.encoded_len();
    let Some(length) = u32::try_from(length).ok().filter(|_| bytes_max.is_none_or(|max| length <= max)) else {
        // Who has to be told that it is too large is told so by tonic.
        let once = tokio_stream::once(Ok(message));
        let inherit = SingleMessageCompressionOverride::default();
        return Body::new(EncodeBody::new_server(ProstEncoder::default(), once, None, inherit, bytes_max));
    };
    // Exactly as large as it has to be, so that it becomes `Bytes` without being copied or counted.
    let mut bytes = Vec::with_capacity(5 + length as usize);
    bytes.push(0);
    bytes.extend(length.to_be_bytes());
    message.encode_raw(&mut bytes);
    Body::new(Answer { message: Some(bytes.into()), has_ended: false })
}

struct Answer {
    message: Option<Bytes>,
    has_ended: bool,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(message) = self.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        if self.has_ended {
            return Poll::Ready(None);
        }
        self.has_ended = true;
        let mut trailers = HeaderMap::with_capacity(TRAILERS);
        trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended
    }
}
