//! The outbound layer: puts what is left of the deadline on each call, and never calls without one.

use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use seawall_error::Error;
use tower::{Layer, Service};

use crate::{Deadline, GRPC_TIMEOUT, ResponseFuture, format_timeout, parse_timeout};

/// Gives every outgoing call a deadline and holds it to that.
///
/// The deadline is the earliest of: that of the call being served ([`Deadline::current`]), the
/// `grpc-timeout` that the caller set on this request, and the default timeout. The peer is told a
/// `margin` less than what the call being served has left, so that its answer, even that it ran out
/// of time, still arrives in time to be used. With nothing left the call fails at once with
/// `DEADLINE_EXCEEDED`, without reaching the network.
#[derive(Debug, Clone, Copy)]
pub struct ForwardLayer {
    default_timeout: Duration,
    margin: Duration,
}

impl ForwardLayer {
    /// `default_timeout` bounds a call where nothing else does.
    pub fn new(default_timeout: Duration, margin: Duration) -> Self {
        Self { default_timeout, margin }
    }

    /// When the call ends here, and how long the peer is told it has.
    fn decide(&self, requested: Option<Duration>) -> Option<(Deadline, Duration)> {
        let own = requested.unwrap_or(self.default_timeout);
        let (deadline, timeout) = match Deadline::current() {
            Some(inherited) if inherited.remaining().saturating_sub(self.margin) < own => {
                (inherited, inherited.remaining().saturating_sub(self.margin))
            }
            _ => (Deadline::after(own), own),
        };
        (!timeout.is_zero()).then_some((deadline, timeout))
    }
}

impl<S> Layer<S> for ForwardLayer {
    type Service = Forward<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Forward { inner, settings: *self }
    }
}

/// The service of [`ForwardLayer`].
#[derive(Debug, Clone)]
pub struct Forward<S> {
    inner: S,
    settings: ForwardLayer,
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
        let requested = request.headers().get(GRPC_TIMEOUT).and_then(|value| parse_timeout(value.as_bytes()).ok());
        let Some((deadline, timeout)) = self.settings.decide(requested) else {
            return ResponseFuture::refused(Error::deadline_exceeded());
        };
        request.headers_mut().insert(GRPC_TIMEOUT, format_timeout(timeout));
        ResponseFuture::running(self.inner.call(request), Some(deadline), false)
    }
}

#[cfg(test)]
mod tests;
