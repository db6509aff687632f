//! What happens to a call on its way in, outermost first.

use std::convert::Infallible;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use seawall_deadline::EnforceLayer;
use seawall_telemetry::ServerLayer;
use tonic::service::Routes;
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
        .service(routes)
}
