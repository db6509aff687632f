//! What happens to a call on its way in, outermost first.

use std::convert::Infallible;

use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use seawall_deadline::EnforceLayer;
use seawall_telemetry::ServerLayer;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::{Service, ServiceBuilder};

use crate::config::Config;
use crate::methods::Methods;

/// Composes the stack around the routes.
pub(crate) fn stack(
    routes: Routes,
    methods: Methods,
    config: &Config,
) -> impl Service<
    Request<Incoming>,
    Response = Response<impl Body<Data = bytes::Bytes, Error = tonic::Status> + Send + 'static>,
    Error = Infallible,
    Future: Send + 'static,
> + Clone
+ Send
+ 'static {
    let (unary, streaming) = (config.timeout_default, config.stream_timeout_default);
    let kinds = methods.clone();
    ServiceBuilder::new()
        // Outermost, so that the span, the metrics and the trace id cover what every other layer answers.
        .layer(ServerLayer::new(move |path: &str| methods.name(path)))
        // Around everything that works for the call, so that all of it is dropped when the deadline passes.
        .layer(EnforceLayer::new(move |path: &str| Some(if kinds.is_streaming(path) { streaming } else { unary })))
        // Innermost, because it is about how tonic reads a body.
        .map_request(|request: Request<Incoming>| request.map(|body| body.map_err(broken_off)))
        .service(routes)
}

/// What reading a request fails with when its caller is gone.
///
/// tonic takes `CANCELLED` for the end of the stream, so that a handler would go on with the part of
/// it that has come as if it were the whole. Nobody sees the status: there is no caller any more.
fn broken_off(error: hyper::Error) -> Status {
    let status = Status::from_error(Box::new(error));
    if status.code() == Code::Cancelled { Status::aborted("the caller has cancelled the call") } else { status }
}
