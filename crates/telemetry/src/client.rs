//! The outbound layer.

use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use http::{Request, Response};
use http_body::Body;
use seawall_trace::{Scope, TraceContext, inject};
use tower::{Layer, Service};

use crate::call::{Record, RecordedBody, ResponseFuture};
use crate::context::Begins;
use crate::series::{Kind, Table, Target};

/// Gives every outgoing call a client span if it is sampled, its metrics, and the trace context in
/// its headers.
#[derive(Debug, Clone)]
pub struct ClientLayer {
    methods: Table,
}

impl ClientLayer {
    /// `target` is the peer as the metrics name it, `address` and `port` where it was asked for, and
    /// `methods` those that may be called, as `package.Service/Method`; others share one name.
    pub fn new<'a>(
        target: impl Into<Arc<str>>,
        address: impl Into<Arc<str>>,
        port: u16,
        methods: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let target = Target { name: target.into(), address: address.into(), port };
        Self { methods: Table::new(Kind::Client, &target, methods) }
    }
}

impl<S> Layer<S> for ClientLayer {
    type Service = Client<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Client { inner, methods: self.methods.clone() }
    }
}

/// The service of [`ClientLayer`].
#[derive(Debug, Clone)]
pub struct Client<S> {
    inner: S,
    methods: Table,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Client<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>, Error: 'static>,
    ResBody: Body<Error: 'static>,
{
    type Response = Response<RecordedBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let series = self.methods.get(request.uri().path());
        let parent = (TraceContext::current(), Scope::current_carried());
        let mut record = Record::begin(series, parent, Begins::ByRatio, || None);
        let call = record.enter(|| {
            inject(request.headers_mut());
            self.inner.call(request)
        });
        ResponseFuture::new(call, record)
    }
}
