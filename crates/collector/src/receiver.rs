//! The OTLP services, and the socket they are reached at.

use std::net::SocketAddr;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
    logs_service_server::{LogsService, LogsServiceServer},
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
    metrics_service_server::{MetricsService, MetricsServiceServer},
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::capture::Capture;
use crate::decode;
use crate::forward::{self, Export, Forward};
use crate::store::Store;

/// Where OTLP over gRPC is received by convention.
pub const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4317);

/// The largest export that is taken; larger ones are answered `OUT_OF_RANGE`.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Exports of one connection that are in the works at a time.
const CONNECTION_STREAMS_MAX: u32 = 16;
/// How long a sender may take to send an export in full.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long connections may take to end after the shutdown has begun. A silent one never ends.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);
/// How long the disk may then take for what has been received: longer than it waits for a lock.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(1500);

/// Receives traces, logs and metrics. Traces are kept in a [`Store`]; logs and metrics are accepted
/// and let go, unless they are forwarded or captured.
#[derive(Debug, Clone)]
pub struct Receiver {
    store: Store,
    forward: Option<Forward>,
    capture: Option<Capture>,
}

/// A receiver that has its port.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    receiver: Receiver,
}

/// The receiver cannot be started.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct BindError(Reason);

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("cannot forward to {endpoint}: it is the receiver's own address")]
    Loop { endpoint: String },
}

impl BindError {
    /// Whether another socket has the port.
    pub fn is_address_in_use(&self) -> bool {
        matches!(&self.0, Reason::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse)
    }
}

impl Receiver {
    /// A receiver that keeps traces in a store.
    pub fn new(store: Store) -> Self {
        Self { store, forward: None, capture: None }
    }

    /// Also sends everything received on to another OTLP/gRPC receiver, such as
    /// `http://127.0.0.1:14317`, without delaying or failing the sender: what the queue (16 MiB) has
    /// no room for is lost and counted in the log.
    ///
    /// # Errors
    /// When the endpoint is not a URL.
    pub fn forward_to(mut self, endpoint: &str) -> Result<Self, forward::EndpointError> {
        self.forward = Some(Forward::try_new(endpoint)?);
        Ok(self)
    }

    /// Also remembers the logs and metrics received, for a test to look at.
    #[must_use]
    pub fn capture_into(mut self, capture: Capture) -> Self {
        self.capture = Some(capture);
        self
    }

    /// Takes the port; zero means any that is free.
    ///
    /// # Errors
    /// When the port is taken (see [`BindError::is_address_in_use`]), or everything would be
    /// forwarded to the receiver itself.
    pub async fn bind(self, address: SocketAddr) -> Result<Bound, BindError> {
        let failed = |source| BindError(Reason::Listen { address, source });
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        if let Some(forward) = &self.forward
            && forward.is_to(address).await
        {
            return Err(BindError(Reason::Loop { endpoint: forward.endpoint().to_owned() }));
        }
        Ok(Bound { listener, address, receiver: self })
    }

    fn forward(&self, export: impl FnOnce() -> Export) {
        if let Some(forward) = &self.forward {
            forward.send(export());
        }
    }
}

impl Bound {
    /// The address, with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Receives until `shutdown` is ready, and then ends within two seconds, when what was received is
    /// on disk. Dropping the future ends it at once.
    ///
    /// # Errors
    /// When the socket fails.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), tonic::transport::Error> {
        let receiver = self.receiver;
        let store = receiver.store.clone();
        // Aborts the task when this future is dropped.
        let forwarding = receiver.forward.as_ref().map(Forward::start);
        let (drain, draining) = tokio::sync::oneshot::channel::<()>();
        let server = Server::builder()
            .timeout(EXPORT_TIMEOUT)
            .max_concurrent_streams(CONNECTION_STREAMS_MAX)
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .add_service(TraceServiceServer::new(receiver.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(LogsServiceServer::new(receiver.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(MetricsServiceServer::new(receiver).max_decoding_message_size(MESSAGE_BYTES_MAX))
            .serve_with_incoming_shutdown(TcpListenerStream::new(self.listener), async {
                // An error means that this function has gone, and then so has the server.
                let _ = draining.await;
            });
        let mut server = std::pin::pin!(server);
        tokio::select! {
            served = &mut server => return served,
            () = shutdown => {}
        }
        // The server is still there to hear it: it is polled below.
        let _ = drain.send(());
        let served = tokio::time::timeout(DRAIN_TIMEOUT, server).await.unwrap_or(Ok(()));
        let flushed = tokio::time::timeout(FLUSH_TIMEOUT, store.flush());
        let forwarded = async {
            if let Some(forwarding) = forwarding {
                forwarding.finish().await;
            }
        };
        if tokio::join!(flushed, forwarded).0.is_err() {
            tracing::warn!(path = %store.path().display(), "the disk does not keep up; the last spans may be lost");
        }
        served
    }
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut request = request.into_inner();
        self.forward(|| Export::Traces(request.clone()));
        let mut rejected_spans = 0;
        for scope in request.resource_spans.iter_mut().flat_map(|resource| &mut resource.scope_spans) {
            let before = scope.spans.len();
            scope.spans.retain(decode::is_valid);
            rejected_spans += (before - scope.spans.len()) as i64;
        }
        // Without RetryInfo this code tells the sender to let the spans go, as OTLP has it: the disk
        // has not kept up with 64 MiB of queue, and a sender that tries again makes that worse.
        self.store
            .write(request.resource_spans)
            .map_err(|_| Status::resource_exhausted("the disk does not keep up; these spans are lost"))?;
        let partial_success = (rejected_spans > 0).then(|| ExportTracePartialSuccess {
            rejected_spans,
            error_message: "a trace id has 16 bytes and a span id 8, not all zero".to_owned(),
        });
        Ok(Response::new(ExportTraceServiceResponse { partial_success }))
    }
}

#[tonic::async_trait]
impl LogsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let request = request.into_inner();
        if let Some(capture) = &self.capture {
            capture.add_logs(&request);
        }
        self.forward(|| Export::Logs(request));
        Ok(Response::new(ExportLogsServiceResponse { partial_success: None }))
    }
}

#[tonic::async_trait]
impl MetricsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let request = request.into_inner();
        if let Some(capture) = &self.capture {
            capture.add_metrics(&request);
        }
        self.forward(|| Export::Metrics(request));
        Ok(Response::new(ExportMetricsServiceResponse { partial_success: None }))
    }
}

#[cfg(test)]
mod tests;
