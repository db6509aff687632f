//! Receives OTLP over gRPC and counts spans; `count` on its standard input has it print how many.

use std::io::BufRead as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use logs::logs_service_server::{LogsService, LogsServiceServer};
use logs::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use metrics::metrics_service_server::{MetricsService, MetricsServiceServer};
use metrics::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use traces::trace_service_server::{TraceService, TraceServiceServer};
use traces::{ExportTraceServiceRequest, ExportTraceServiceResponse};

mod traces {
    tonic::include_proto!("opentelemetry.proto.collector.trace.v1");
}
mod metrics {
    tonic::include_proto!("opentelemetry.proto.collector.metrics.v1");
}
mod logs {
    tonic::include_proto!("opentelemetry.proto.collector.logs.v1");
}

/// What an exporter may send at once; a batch of spans is far less.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

static SPANS: AtomicU64 = AtomicU64::new(0);
static EXPORTS: AtomicU64 = AtomicU64::new(0);

struct Counter;

#[tonic::async_trait]
impl TraceService for Counter {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let scopes = request.get_ref().resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        SPANS.fetch_add(scopes.map(|scope| scope.spans.len() as u64).sum(), Ordering::Relaxed);
        EXPORTS.fetch_add(1, Ordering::Relaxed);
        Ok(Response::new(ExportTraceServiceResponse {}))
    }
}

#[tonic::async_trait]
impl MetricsService for Counter {
    async fn export(
        &self,
        _: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        Ok(Response::new(ExportMetricsServiceResponse {}))
    }
}

#[tonic::async_trait]
impl LogsService for Counter {
    async fn export(
        &self,
        _: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        Ok(Response::new(ExportLogsServiceResponse {}))
    }
}

/// Prints the counts whenever it is asked; ends the process with whoever asks.
fn answer() {
    for _ in std::io::stdin().lock().lines().map_while(Result::ok) {
        println!("count {} {}", SPANS.load(Ordering::Relaxed), EXPORTS.load(Ordering::Relaxed));
    }
    std::process::exit(0);
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    std::thread::spawn(answer);
    let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0))).map_err(std::io::Error::other)?;
    println!("listening {}", incoming.local_addr()?);
    let traces = TraceServiceServer::new(Counter).max_decoding_message_size(MESSAGE_BYTES_MAX);
    Server::builder()
        .add_service(traces.accept_compressed(CompressionEncoding::Gzip))
        .add_service(MetricsServiceServer::new(Counter).accept_compressed(CompressionEncoding::Gzip))
        .add_service(LogsServiceServer::new(Counter).accept_compressed(CompressionEncoding::Gzip))
        .serve_with_incoming(incoming.with_nodelay(Some(true)))
        .await?;
    Ok(())
}
