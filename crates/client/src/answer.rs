//! What comes back from a connection, as the status that the caller is to see.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use seawall_deadline::Deadline;
use seawall_retry::NotSent;
use tonic::{Code, Status};

use crate::connection::Place;

pin_project! {
    /// The body of a response; fails with the status that the caller is to see. Has its place on the
    /// connection until its end.
    #[derive(Debug)]
    pub(crate) struct ResponseBody {
        #[pin]
        body: Incoming,
        place: Option<Place>,
        margin: Duration,
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(cx));
        if !matches!(&frame, Some(Ok(frame)) if frame.is_data()) {
            *this.place = None;
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error| lost(error, *this.margin))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// `margin` is how much sooner than the caller's the peer's deadline is.
pub(crate) fn answered(response: Response<Incoming>, place: Place, margin: Duration) -> Response<ResponseBody> {
    response.map(|body| ResponseBody { body, place: Some(place), margin })
}

/// A response that breaks off. A peer that resets the stream says why; one that is gone says nothing,
/// and then it was `UNAVAILABLE` (the gRPC specification of status codes).
fn lost(error: hyper::Error, margin: Duration) -> Status {
    if let Some(reason) = reset_reason(&error) {
        return reset(reason, error, margin);
    }
    let status = Status::from_error(Box::new(error));
    if status.code() == Code::Unknown { unavailable("the peer has closed the connection", status) } else { status }
}

/// Not by tonic, which knows of resets only where it was built with a transport of its own.
fn reset_reason(error: &hyper::Error) -> Option<Reason> {
    let h2 = error.source()?.downcast_ref::<h2::Error>()?;
    h2.reason().filter(|_| h2.is_reset())
}

/// The codes of PROTOCOL-HTTP2.md, "Errors". A server whose deadline has passed may have no time for more
/// than a reset: then it was not cancelled, but late (grpc-go does so, and reads it so).
fn reset(reason: Reason, error: hyper::Error, margin: Duration) -> Status {
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
pub(crate) fn failed(error: hyper::Error, margin: Duration) -> Status {
    if is_unprocessed(&error) {
        unavailable("the peer has closed the connection", NotSent::new(error))
    } else {
        lost(error, margin)
    }
}

/// Whether the peer says that it has not looked at the call: its stream was refused, or is beyond the
/// last one that a connection which goes away will serve (RFC 9113, 6.8 and 8.7).
fn is_unprocessed(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    cause.is_some_and(|h2| {
        h2.is_remote() && (h2.is_go_away() || h2.is_reset() && h2.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}

pub(crate) fn unavailable(what: &str, source: impl StdError + Send + Sync + 'static) -> Status {
    let mut status = Status::unavailable(what);
    status.set_source(Arc::new(source));
    status
}
