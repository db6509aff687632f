//! The outer of the outbound layers: no call without a deadline.

use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use seawall_error::Error;
use tower::{Layer, Service};

use crate::bounded::published;
use crate::{Deadline, GRPC_TIMEOUT, ResponseFuture, parse_timeout};

/// Gives every outgoing call a deadline and holds it to that, with all its attempts.
///
/// The deadline is the earliest of: that of the call being served ([`Deadline::current`]), the
/// `grpc-timeout` that the caller has set on this request, and where it has set none, the method's
/// own timeout. It is the current one for everything inside, such as [`ForwardLayer`] and whatever
/// decides whether there is time for another attempt. With nothing left the call fails at once with
/// `DEADLINE_EXCEEDED`.
///
/// [`ForwardLayer`]: crate::ForwardLayer
///
/// ```
/// use std::time::Duration;
/// use seawall_deadline::BoundLayer;
///
/// // Five seconds for a call that nothing else gives a deadline, whatever the method.
/// let layer = BoundLayer::new(|_path: &str| Duration::from_secs(5));
/// ```
#[derive(Debug, Clone)]
pub struct BoundLayer<T> {
    timeout_of: T,
}

impl<T: Fn(&str) -> Duration> BoundLayer<T> {
    /// `timeout_of` is asked with the path of a call whose caller sets no timeout.
    pub fn new(timeout_of: T) -> Self {
        Self { timeout_of }
    }
}

impl<S, T: Clone> Layer<S> for BoundLayer<T> {
    type Service = Bound<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        Bound { inner, timeout_of: self.timeout_of.clone() }
    }
}

/// The service of [`BoundLayer`].
#[derive(Debug, Clone)]
pub struct Bound<S, T> {
    inner: S,
    timeout_of: T,
}

impl<S, T, ReqBody, ResBody> Service<Request<ReqBody>> for Bound<S, T>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    T: Fn(&str) -> Duration,
    ResBody: Body,
{
    type Response = Response<crate::BoundedBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let set = request.headers().get(GRPC_TIMEOUT).and_then(|value| parse_timeout(value.as_bytes()).ok());
        let timeout = set.unwrap_or_else(|| (self.timeout_of)(request.uri().path()));
        let own = Deadline::after(timeout);
        let deadline = Deadline::current().map_or(own, |inherited| inherited.min(own));
        if deadline.remaining().is_zero() {
            return ResponseFuture::refused(Error::deadline_exceeded());
        }
        let call = published(Some(deadline), || self.inner.call(request));
        ResponseFuture::running(call, Some(deadline), true)
    }
}
