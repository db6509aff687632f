//! The metrics of each call, by the `metrics` crate and its exporter for Prometheus, in a layer as tonic's example of
//! a layer is.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use http::{Request, Response};
use metrics::{counter, histogram};
use metrics_exporter_prometheus::PrometheusBuilder;
use tonic::Status;
use tower::{Layer, Service};

use crate::Failure;

const BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// Serves `/metrics`, on a port that nobody is told.
pub(crate) fn serve() -> Result<(), Failure> {
    let builder = PrometheusBuilder::new().with_http_listener(([127, 0, 0, 1], 0));
    Ok(builder.set_buckets(&BUCKETS)?.install()?)
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct MeteredLayer;

impl<S> Layer<S> for MeteredLayer {
    type Service = Metered<S>;

    fn layer(&self, inner: S) -> Metered<S> {
        Metered { inner }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Metered<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Metered<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let started = Instant::now();
        let method = request.uri().path().to_owned();
        counter!("grpc_server_call_started", "grpc_method" => method.clone()).increment(1);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            // A call that fails later says so in its trailers, which come after this.
            let code = Status::from_header_map(response.headers()).map_or(0, |status| status.code() as i32);
            let labels = [("grpc_method", method), ("grpc_status", code.to_string())];
            histogram!("grpc_server_call_duration_seconds", &labels).record(started.elapsed());
            Ok(response)
        })
    }
}
