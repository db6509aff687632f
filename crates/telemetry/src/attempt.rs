//! The layer of the attempts of an outgoing call.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use http::{Request, Response};
use http_body::Body;
use seawall_classify::{End, ObservedBody, ObservedFuture, Observer};
use tonic::Code;
use tower::{Layer, Service};

use crate::metrics::{Instruments, Side};

/// Counts and times each attempt of a call: what [`ClientLayer`](crate::ClientLayer) sees as one may
/// be several.
#[derive(Debug, Clone)]
pub struct AttemptLayer {
    target: Arc<str>,
}

impl AttemptLayer {
    /// `target` is the peer as the metrics name it.
    pub fn new(target: impl Into<Arc<str>>) -> Self {
        Self { target: target.into() }
    }
}

impl<S> Layer<S> for AttemptLayer {
    type Service = Attempt<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Attempt { inner, target: self.target.clone() }
    }
}

/// The service of [`AttemptLayer`].
#[derive(Debug, Clone)]
pub struct Attempt<S> {
    inner: S,
    target: Arc<str>,
}

/// The future of [`Attempt`].
pub type AttemptFuture<F> = ObservedFuture<F, AttemptRecord>;

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Attempt<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>, Error: 'static>,
    ResBody: Body,
{
    type Response = Response<ObservedBody<ResBody, AttemptRecord>>;
    type Error = S::Error;
    type Future = AttemptFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let side = Side::Client { target: self.target.clone() };
        let method: Arc<str> = request.uri().path().trim_start_matches('/').into();
        Instruments::get().attempt_started(&side, &method);
        let record = AttemptRecord { side, method, start: Instant::now() };
        ObservedFuture::new(self.inner.call(request), record)
    }
}

/// An attempt that is being timed.
#[derive(Debug)]
pub struct AttemptRecord {
    side: Side,
    method: Arc<str>,
    start: Instant,
}

impl Observer for AttemptRecord {
    fn end(self, end: End) {
        let code = match end {
            End::Code(code) | End::Refused(code) => code,
            End::Dropped => Code::Cancelled,
        };
        Instruments::get().attempt_ended(&self.side, &self.method, code, self.start.elapsed());
    }
}
