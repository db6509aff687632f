//! The layer of the attempts of an outgoing call.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use http::{Request, Response};
use http_body::Body;
use seawall_classify::{End, ObservedBody, ObservedFuture, Observer};
use seawall_clock::now;
use tonic::Code;
use tower::{Layer, Service};

use crate::histogram::Shards;
use crate::series::{Kind, Series, Table, Target};

/// Counts and times each attempt of a call: what [`ClientLayer`](crate::ClientLayer) sees as one may
/// be several.
#[derive(Debug, Clone)]
pub struct AttemptLayer {
    methods: Table,
}

impl AttemptLayer {
    /// `target` is the peer as the metrics name it, and `methods` those that may be called, as
    /// `package.Service/Method`; others share one name.
    pub fn new<'a>(target: impl Into<Arc<str>>, methods: impl IntoIterator<Item = &'a str>) -> Self {
        let target = Target { name: target.into(), ..Target::default() };
        Self { methods: Table::new(Kind::Attempt, &target, methods) }
    }
}

impl<S> Layer<S> for AttemptLayer {
    type Service = Attempt<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Attempt { inner, methods: self.methods.clone() }
    }
}

/// The service of [`AttemptLayer`].
#[derive(Debug, Clone)]
pub struct Attempt<S> {
    inner: S,
    methods: Table,
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
        let series = self.methods.get(request.uri().path());
        Shards::started(series);
        let record = AttemptRecord { series, start: now().into_std() };
        ObservedFuture::new(self.inner.call(request), record)
    }
}

/// An attempt that is being timed.
#[derive(Debug)]
pub struct AttemptRecord {
    series: &'static Series,
    start: Instant,
}

impl Observer for AttemptRecord {
    fn end(self, end: End) {
        let code = match end {
            End::Code(code) | End::Refused(code) => code,
            End::Dropped => Code::Cancelled,
        };
        Shards::ended(self.series, code, now().into_std().saturating_duration_since(self.start));
    }
}
