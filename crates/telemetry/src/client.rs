//! The outbound layer.

use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use http::{Request, Response};
use http_body::Body;
use opentelemetry::Context;
use tower::{Layer, Service};
use tracing::{Span, field};

use crate::call::{Record, RecordedBody, ResponseFuture};
use crate::context::{self, Begins};
use crate::metrics::Side;

/// Gives every outgoing call a client span if it is sampled, its metrics, and the trace context in
/// its headers.
#[derive(Debug, Clone)]
pub struct ClientLayer {
    target: Arc<str>,
    address: Arc<str>,
    port: u16,
}

impl ClientLayer {
    /// `target` is the peer as the metrics name it, `address` and `port` where it was asked for.
    pub fn new(target: impl Into<Arc<str>>, address: impl Into<Arc<str>>, port: u16) -> Self {
        Self { target: target.into(), address: address.into(), port }
    }

    fn span(&self, method: &str) -> Span {
        tracing::info_span!(
            "client",
            otel.name = method,
            otel.kind = "client",
            otel.status_code = field::Empty,
            error.type = field::Empty,
            rpc.system.name = "grpc",
            rpc.method = method,
            rpc.response.status_code = field::Empty,
            server.address = &*self.address,
            server.port = self.port,
        )
    }
}

impl<S> Layer<S> for ClientLayer {
    type Service = Client<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Client { inner, settings: self.clone() }
    }
}

/// The service of [`ClientLayer`].
#[derive(Debug, Clone)]
pub struct Client<S> {
    inner: S,
    settings: ClientLayer,
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
        let method = request.uri().path().trim_start_matches('/').into();
        let side = Side::Client { target: self.settings.target.clone() };
        let context = context::decide(Context::current(), Begins::ByRatio);
        let record = Record::begin(side, method, context, |method| self.settings.span(method));
        let call = record.enter(|| {
            context::inject(request.headers_mut());
            self.inner.call(request)
        });
        ResponseFuture::new(call, record)
    }
}
