//! The inbound layer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use http::{Request, Response};
use http_body::Body;
use tower::{Layer, Service};
use tracing::{Span, field};

use crate::call::{Record, RecordedBody, ResponseFuture};
use crate::context::{self, Begins};
use crate::metrics::Side;

/// Gives every call its trace context, a server span if it is sampled, and its metrics; puts the
/// trace id into every error that goes out.
///
/// ```
/// use seawall_telemetry::ServerLayer;
///
/// // Methods that are not known share one name, so that nobody can fill the metrics with made-up ones.
/// let layer = ServerLayer::new(|path: &str| (path == "/shop.v1.Shop/Buy").then(|| "shop.v1.Shop/Buy".into()));
/// ```
#[derive(Debug, Clone)]
pub struct ServerLayer<M> {
    method_of: M,
}

impl<M: Fn(&str) -> Option<Arc<str>>> ServerLayer<M> {
    /// `method_of` knows the name of the method at a path, as `package.Service/Method`.
    pub fn new(method_of: M) -> Self {
        Self { method_of }
    }
}

impl<S, M: Clone> Layer<S> for ServerLayer<M> {
    type Service = Server<S, M>;

    fn layer(&self, inner: S) -> Self::Service {
        Server { inner, method_of: self.method_of.clone() }
    }
}

/// The service of [`ServerLayer`].
#[derive(Debug, Clone)]
pub struct Server<S, M> {
    inner: S,
    method_of: M,
}

impl<S, M, ReqBody, ResBody> Service<Request<ReqBody>> for Server<S, M>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>, Error: 'static>,
    M: Fn(&str) -> Option<Arc<str>>,
    ResBody: Body<Error: 'static>,
{
    type Response = Response<RecordedBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let path = request.uri().path();
        let method = (self.method_of)(path).unwrap_or_else(|| "other".into());
        let context = context::decide(context::extract(request.headers()), begins(path));
        let peer = request.extensions().get::<SocketAddr>().copied();
        let record = Record::begin(Side::Server, method, context, |method| span(method, peer));
        let call = record.enter(|| self.inner.call(request));
        ResponseFuture::new(call, record)
    }
}

/// Probes come every second and tools ask for the contracts: traces of them would bury all others.
fn begins(path: &str) -> Begins {
    let is_infrastructure = ["/grpc.health.", "/grpc.reflection."].iter().any(|package| path.starts_with(package));
    if is_infrastructure { Begins::Never } else { Begins::ByRatio }
}

fn span(method: &str, peer: Option<SocketAddr>) -> Span {
    let span = tracing::info_span!(
        "server",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = field::Empty,
        error.type = field::Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = field::Empty,
        network.peer.address = field::Empty,
        network.peer.port = field::Empty,
    );
    if let Some(peer) = peer {
        span.record("network.peer.address", field::display(peer.ip()));
        span.record("network.peer.port", peer.port());
    }
    span
}
