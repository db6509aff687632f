//! The inbound layer.

use std::task::{Context as TaskContext, Poll};

use http::{Request, Response};
use http_body::Body;
use seawall_propagation::peer;
use seawall_trace::extract;
use tower::{Layer, Service};

use crate::call::{Record, RecordedBody, ResponseFuture};
use crate::context::Begins;
use crate::series::{Kind, Table, Target};

/// Gives every call its trace context, a server span if it is sampled, and its metrics; puts the
/// trace id into every error that goes out.
///
/// ```
/// use seawall_telemetry::ServerLayer;
///
/// // Methods that are not known share one name, so that nobody can fill the metrics with made-up ones.
/// let layer = ServerLayer::new(["shop.v1.Shop/Buy"]);
/// ```
#[derive(Debug, Clone)]
pub struct ServerLayer {
    methods: Table,
}

impl ServerLayer {
    /// `methods` are those that may be served, as `package.Service/Method`.
    pub fn new<'a>(methods: impl IntoIterator<Item = &'a str>) -> Self {
        Self { methods: Table::new(Kind::Server, &Target::default(), methods) }
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = Server<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Server { inner, methods: self.methods.clone() }
    }
}

/// The service of [`ServerLayer`].
#[derive(Debug, Clone)]
pub struct Server<S> {
    inner: S,
    methods: Table,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Server<S>
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

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let path = request.uri().path();
        let parent = extract(request.headers());
        let mut record = Record::begin(self.methods.get(path), parent, begins(path), peer);
        let call = record.enter(|| self.inner.call(request));
        ResponseFuture::new(call, record)
    }
}

/// Probes come every second and tools ask for the contracts: traces of them would bury all others.
fn begins(path: &str) -> Begins {
    let is_infrastructure = ["/grpc.health.", "/grpc.reflection."].iter().any(|package| path.starts_with(package));
    if is_infrastructure { Begins::Never } else { Begins::ByRatio }
}
