//! Spans by tower-http, exported by tracing-opentelemetry; log lines by tracing-subscriber.

use http::Request;
use opentelemetry::global;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::HeaderExtractor;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tonic::body::Body;
use tower_http::classify::{GrpcErrorsAsFailures, SharedClassifier};
use tower_http::trace::{DefaultOnResponse, TraceLayer};
use tracing::{Level, Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::Failure;

/// Sets the process up. What is returned sends what is left.
pub(crate) fn init(endpoint: &str, ratio: f64) -> Result<SdkTracerProvider, Failure> {
    global::set_text_map_propagator(TraceContextPropagator::new());
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
        .with_resource(Resource::builder().with_service_name("naive").build())
        .with_batch_exporter(exporter)
        .build();
    tracing_subscriber::registry()
        .with(LevelFilter::INFO)
        .with(tracing_subscriber::fmt::layer().json())
        .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("naive")))
        .try_init()?;
    Ok(provider)
}

type MakeSpan = fn(&Request<Body>) -> Span;

/// A span for each call, which goes on with its caller's trace, and a log line if it is wanted.
pub(crate) fn layer(logs_calls: bool) -> TraceLayer<SharedClassifier<GrpcErrorsAsFailures>, MakeSpan> {
    let make_span: MakeSpan = make_span;
    let level = if logs_calls { Level::INFO } else { Level::DEBUG };
    TraceLayer::new_for_grpc().make_span_with(make_span).on_response(DefaultOnResponse::new().level(level))
}

fn make_span(request: &Request<Body>) -> Span {
    let path = request.uri().path();
    let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
    let span = info_span!(
        "request",
        otel.name = path,
        otel.kind = "server",
        rpc.system = "grpc",
        rpc.service = service,
        rpc.method = method,
    );
    let parent = global::get_text_map_propagator(|propagator| propagator.extract(&HeaderExtractor(request.headers())));
    let _ = span.set_parent(parent);
    span
}
