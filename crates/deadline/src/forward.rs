//! The inner of the outbound layers: tells the peer what is left of the deadline.

use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use seawall_error::Error;
use tower::{Layer, Service};

use crate::{Deadline, GRPC_TIMEOUT, ResponseFuture, format_timeout};

/// Puts what is left of [`Deadline::current`] on each attempt of a call, and ends the attempt there.
///
/// The peer is told a `margin` less, though never less than half, so that its answer, even that it ran
/// out of time, still arrives in time to be used. With nothing left the attempt fails with `DEADLINE_EXCEEDED`, without reaching
/// the network. Whatever stands outside sees an attempt that was late as one that has failed, rather
/// than as one that was dropped. A call without a deadline passes as it is; [`BoundLayer`] sees to
/// it that there is none.
///
/// [`BoundLayer`]: crate::BoundLayer
#[derive(Debug, Clone, Copy)]
pub struct ForwardLayer {
    margin: Duration,
}

impl ForwardLayer {
    /// A layer with this margin.
    pub fn new(margin: Duration) -> Self {
        Self { margin }
    }
}

impl<S> Layer<S> for ForwardLayer {
    type Service = Forward<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Forward { inner, margin: self.margin }
    }
}

/// The service of [`ForwardLayer`].
#[derive(Debug, Clone)]
pub struct Forward<S> {
    inner: S,
    margin: Duration,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Forward<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body,
{
    type Response = Response<crate::BoundedBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let deadline = Deadline::current();
        if let Some(deadline) = deadline {
            let remaining = deadline.remaining();
            if remaining.is_zero() {
                return ResponseFuture::refused(Error::deadline_exceeded());
            }
            let timeout = remaining - self.margin.min(remaining / 2);
            request.headers_mut().insert(GRPC_TIMEOUT, format_timeout(timeout));
        }
        ResponseFuture::running(self.inner.call(request), deadline, false)
    }
}

#[cfg(test)]
mod tests;
