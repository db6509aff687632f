//! The inbound layer: reads `grpc-timeout`, ends the call when it passes.

use std::cell::Cell;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use seawall_error::{Error, SEAWALL};
use seawall_headers::{TIMEOUT, may_have};
use tower::{Layer, Service};

use crate::bounded::published;
use crate::{Deadline, GRPC_TIMEOUT, ResponseFuture, parse_timeout};

/// Enforces the caller's deadline, or a default where the caller set none.
///
/// - A `grpc-timeout` that cannot be read, or that is there twice, is refused with `INVALID_ARGUMENT`,
///   naming the header.
/// - A deadline that has passed on arrival is answered without calling the handler.
/// - A deadline that passes later ends the response, or the stream in its middle, with
///   `DEADLINE_EXCEEDED`; the handler is dropped, and with it everything it waits for.
///
/// ```
/// use std::time::Duration;
/// use seawall_deadline::EnforceLayer;
///
/// // Thirty seconds for a caller that names no deadline, whatever the method.
/// let layer = EnforceLayer::new(|_path: &str| Some(Duration::from_secs(30)));
/// ```
#[derive(Debug, Clone)]
pub struct EnforceLayer<D> {
    default_timeout: D,
}

impl<D: Fn(&str) -> Option<Duration>> EnforceLayer<D> {
    /// `default_timeout` is asked with the path of a call that names no deadline; `None` leaves the
    /// call without one.
    pub fn new(default_timeout: D) -> Self {
        Self { default_timeout }
    }
}

impl<S, D: Clone> Layer<S> for EnforceLayer<D> {
    type Service = Enforce<S, D>;

    fn layer(&self, inner: S) -> Self::Service {
        Enforce { inner, default_timeout: self.default_timeout.clone() }
    }
}

/// The service of [`EnforceLayer`].
#[derive(Debug, Clone)]
pub struct Enforce<S, D> {
    inner: S,
    default_timeout: D,
}

impl<S, D, ReqBody, ResBody> Service<Request<ReqBody>> for Enforce<S, D>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    D: Fn(&str) -> Option<Duration>,
    ResBody: Body,
{
    type Response = Response<crate::BoundedBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let mut timeouts =
            may_have(TIMEOUT).then(|| request.headers().get_all(GRPC_TIMEOUT).iter()).into_iter().flatten();
        let timeout = match timeouts.next().map(|value| parse_timeout(value.as_bytes())) {
            Some(_) if timeouts.next().is_some() => return ResponseFuture::refused(malformed()),
            Some(Ok(timeout)) => Some(timeout),
            Some(Err(_)) => return ResponseFuture::refused(malformed()),
            None => (self.default_timeout)(request.uri().path()),
        };
        if timeout == Some(Duration::ZERO) {
            return ResponseFuture::refused(Error::deadline_exceeded());
        }
        let deadline = timeout.map(Deadline::after);
        NOTED.set(deadline);
        let call = published(deadline, || self.inner.call(request));
        ResponseFuture::running(call, deadline, true)
    }
}

thread_local! {
    static NOTED: Cell<Option<Deadline>> = const { Cell::new(None) };
}

/// Runs `call`, and tells which deadline an [`EnforceLayer`] has given to the call that it began.
///
/// For a serve loop, which is outside of all layers and has to bound what they cannot: an answer that
/// the caller does not read.
pub fn noted<T>(call: impl FnOnce() -> T) -> (T, Option<Deadline>) {
    NOTED.set(None);
    let called = call();
    (called, NOTED.take())
}

fn malformed() -> Error {
    SEAWALL.invalid(
        GRPC_TIMEOUT,
        "must be there once, as 1 to 8 digits and one of the units H, M, S, m, u, n, such as 250m",
    )
}

#[cfg(test)]
mod tests;
