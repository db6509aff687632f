//! What comes back from a connection, as the status that the caller is to see.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::Response;
use http_body::{Body, Frame};
use seawall_deadline::Deadline;
use seawall_retry::NotSent;
use tonic::{Code, Status};

use crate::connection::Place;

/// The body of a response; fails with the status that the caller is to see. Has its place on the
/// connection until its end.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    stream: RecvStream,
    has_read_data: bool,
    place: Option<Place>,
    margin: Duration,
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let frame = ready!(this.poll_stream(cx));
        if !matches!(&frame, Some(Ok(frame)) if frame.is_data()) {
            this.place = None;
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error| lost(error, this.margin))))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }
}

impl ResponseBody {
    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.has_read_data {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // It is read, and the peer may send as much again; a stream that has ended needs no more.
                    let _ = self.stream.flow_control().release_capacity(data.len());
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                // The answer is whole, and the rest of the request is not wanted (RFC 9113, 8.1).
                Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.has_read_data = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)).transpose())
    }
}

/// `margin` is how much sooner than the caller's the peer's deadline is.
pub(crate) fn answered(response: Response<RecvStream>, place: Place, margin: Duration) -> Response<ResponseBody> {
    response.map(|stream| ResponseBody { stream, has_read_data: false, place: Some(place), margin })
}

/// A response that breaks off. A peer that resets the stream says why; one that is gone says nothing,
/// and then it was `UNAVAILABLE` (the gRPC specification of status codes).
fn lost(error: h2::Error, margin: Duration) -> Status {
    match error.reason().filter(|_| error.is_reset()) {
        Some(reason) => reset(reason, error, margin),
        None => unavailable("the peer has closed the connection", error),
    }
}

/// A call for which no stream could be opened: nothing of it was sent.
pub(crate) fn refused(error: h2::Error) -> Status {
    unavailable("the connection has not taken the call", NotSent::new(error))
}

/// The codes of PROTOCOL-HTTP2.md, "Errors". A server whose deadline has passed may have no time for more
/// than a reset: then it was not cancelled, but late (grpc-go does so, and reads it so).
fn reset(reason: Reason, error: h2::Error, margin: Duration) -> Status {
    let is_late = || Deadline::current().is_some_and(|deadline| deadline.remaining() <= margin);
    let (code, message) = match reason {
        Reason::CANCEL if is_late() => (Code::DeadlineExceeded, "the deadline of the call has passed at the peer"),
        Reason::CANCEL => (Code::Cancelled, "the peer has cancelled the call"),
        Reason::REFUSED_STREAM => (Code::Unavailable, "the peer has refused the call"),
        Reason::ENHANCE_YOUR_CALM => (Code::ResourceExhausted, "the peer has reset the call: it is too much"),
        Reason::INADEQUATE_SECURITY => (Code::PermissionDenied, "the peer has reset the call: it is not secure enough"),
        _ => (Code::Internal, "the peer has reset the call"),
    };
    let mut status = Status::new(code, message);
    status.set_source(Arc::new(error));
    status
}

/// A call that was sent, and has no answer. Whether it may have had an effect is for whoever may try
/// again.
pub(crate) fn failed(error: h2::Error, margin: Duration) -> Status {
    if is_unprocessed(&error) {
        unavailable("the peer has closed the connection", NotSent::new(error))
    } else {
        lost(error, margin)
    }
}

/// Whether the peer says that it has not looked at the call: its stream was refused, or is beyond the
/// last one that a connection which goes away will serve (RFC 9113, 6.8 and 8.7).
fn is_unprocessed(error: &h2::Error) -> bool {
    error.is_remote() && (error.is_go_away() || error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM))
}

pub(crate) fn unavailable(what: &str, source: impl StdError + Send + Sync + 'static) -> Status {
    let mut status = Status::unavailable(what);
    status.set_source(Arc::new(source));
    status
}
