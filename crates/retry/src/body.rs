//! The body of a response, whose trailers say whether the call ended well.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use seawall_classify::{code_in, code_of_error};
use tonic::Code;

use crate::policy::Terms;

pin_project! {
    /// The response body of the layers here. It passes everything on, and counts the end of a
    /// committed attempt for the throttle.
    #[derive(Debug)]
    pub struct RetriedBody<B> {
        #[pin]
        inner: B,
        terms: Option<Arc<Terms>>,
    }
}

impl<B> RetriedBody<B> {
    /// `terms` are those of the call if its end has still to be counted.
    pub(crate) fn new(inner: B, terms: Option<Arc<Terms>>) -> Self {
        Self { inner, terms }
    }
}

impl<B: Body<Error: 'static>> Body for RetriedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.inner.poll_frame(cx));
        let code = match &frame {
            Some(Ok(frame)) => frame.trailers_ref().map(|trailers| code_in(trailers).unwrap_or(Code::Unknown)),
            Some(Err(error)) => Some(code_of_error(error)),
            None => Some(Code::Unknown),
        };
        if let Some(code) = code
            && let Some(terms) = this.terms.take()
        {
            terms.count(code);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
