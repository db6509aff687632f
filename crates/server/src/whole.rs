//! Requests that end where their caller ended them, and nowhere else.
//!
//! hyper takes a reset with `NO_ERROR` for the end of the body, and tonic takes `CANCELLED` for the end of
//! the stream. A handler would go on with the part that has come as if it were the whole; Envoy resets
//! with `NO_ERROR` when its own client has gone.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::{Code, Status};

pin_project! {
    /// A body that fails unless the peer has ended the stream. Nobody sees the status that it fails with:
    /// there is no caller any more.
    #[derive(Debug)]
    pub(crate) struct Whole<B> {
        #[pin]
        inner: B,
        has_failed: bool,
    }
}

impl<B> Whole<B> {
    pub(crate) fn new(inner: B) -> Self {
        Self { inner, has_failed: false }
    }
}

impl<B: Body<Error = hyper::Error>> Body for Whole<B> {
    type Data = B::Data;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, Status>>> {
        let mut this = self.project();
        if *this.has_failed {
            return Poll::Ready(None);
        }
        let failed = match ready!(this.inner.as_mut().poll_frame(cx)) {
            Some(Ok(frame)) => return Poll::Ready(Some(Ok(frame))),
            Some(Err(error)) => broken_off(error),
            // h2 knows whether it has seen the end of the stream.
            None if this.inner.is_end_stream() => return Poll::Ready(None),
            None => cancelled(),
        };
        *this.has_failed = true;
        Poll::Ready(Some(Err(failed)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn broken_off(error: hyper::Error) -> Status {
    let status = Status::from_error(Box::new(error));
    if status.code() == Code::Cancelled { cancelled() } else { status }
}

fn cancelled() -> Status {
    Status::aborted("the caller has cancelled the call")
}
