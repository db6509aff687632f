//! A body whose messages are judged as they pass.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use seawall_error::Error;
use tonic::Status;

use crate::Expected;
use crate::prefixes::Prefixes;

pin_project! {
    /// A body that ends with an error when a message is not as expected.
    #[derive(Debug)]
    pub struct MessageBody<B> {
        #[pin]
        inner: B,
        // None once the body has ended, or where nothing is expected.
        prefixes: Option<Prefixes>,
    }
}

impl<B> MessageBody<B> {
    /// `None` lets everything pass.
    pub(crate) fn new(inner: B, expected: Option<Expected>) -> Self {
        Self { inner, prefixes: expected.map(Prefixes::new) }
    }
}

/// A body that has ended.
impl<B: Default> Default for MessageBody<B> {
    fn default() -> Self {
        Self::new(B::default(), None)
    }
}

impl<B: Body<Data = Bytes, Error = Status>> Body for MessageBody<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.project();
        let frame = ready!(this.inner.poll_frame(cx));
        let Some(prefixes) = this.prefixes else { return Poll::Ready(frame) };
        let judged = match &frame {
            Some(Ok(frame)) => match frame.data_ref() {
                Some(bytes) => prefixes.read(bytes),
                None if ends_well(frame) => prefixes.end(),
                None => Ok(()),
            },
            Some(Err(_)) => Ok(()),
            None => prefixes.end(),
        };
        if !matches!(&frame, Some(Ok(frame)) if frame.is_data()) {
            *this.prefixes = None;
        }
        if let Err(error) = judged {
            *this.prefixes = None;
            return Poll::Ready(Some(Err(refused(error))));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        // Whoever is told that there is no more does not ask again, and would not hear what is wrong.
        self.inner.is_end_stream() && self.prefixes.as_ref().is_none_or(Prefixes::may_end)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Whether these trailers say that all is well, or are those of a request, which say nothing.
fn ends_well(frame: &Frame<Bytes>) -> bool {
    let status = frame.trailers_ref().and_then(|trailers| trailers.get(Status::GRPC_STATUS));
    status.is_none_or(|status| status == "0")
}

fn refused(error: Error) -> Status {
    error.into()
}
