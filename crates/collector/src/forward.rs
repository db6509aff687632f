//! Sends what was received on to another receiver, such as a real Jaeger, for as long as it is there.
//!
//! One task takes exports out of a bounded queue, one after the other. Its target is reached, away or
//! refusing; the log has a line when that changes, not for every export.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, logs_service_client::LogsServiceClient,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, trace_service_client::TraceServiceClient,
};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::queue::{self, Queued};
use crate::spell::Spell;

/// What may wait while the target is away; the rest is lost.
const QUEUE_EXPORTS_MAX: usize = 1024;
const QUEUE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long the target may take for an export.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a target that is away is left alone.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// Attempts for one export: ten seconds for a target that is not there.
const ATTEMPTS_MAX: u32 = 20;
/// How long the queue may take to empty after the shutdown has begun.
const FINISH_TIMEOUT: Duration = Duration::from_millis(500);

/// A request of one of OTLP's three services.
#[derive(Debug, Clone)]
pub(crate) enum Export {
    Traces(ExportTraceServiceRequest),
    Logs(ExportLogsServiceRequest),
    Metrics(ExportMetricsServiceRequest),
}

/// The text is not an endpoint that telemetry can be forwarded to.
#[derive(Debug, thiserror::Error)]
#[error("\"{endpoint}\" is not an endpoint such as http://127.0.0.1:4317")]
pub struct EndpointError {
    endpoint: String,
    source: Option<tonic::transport::Error>,
}

/// The receiving side's end of the queue.
#[derive(Debug, Clone)]
pub(crate) struct Forward(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    endpoint: Endpoint,
    text: String,
    queue: queue::Sender<Option<Export>>,
    receiver: Mutex<Option<mpsc::Receiver<Queued<Option<Export>>>>>,
    /// Spans, log records and points for which the queue had no room.
    overflowed: AtomicU64,
}

/// The running task. Dropping it ends the task.
pub(crate) struct Forwarding {
    task: Option<JoinHandle<()>>,
    forward: Forward,
}

impl Forward {
    pub(crate) fn try_new(text: &str) -> Result<Self, EndpointError> {
        let invalid = |source| EndpointError { endpoint: text.to_owned(), source };
        let endpoint = Endpoint::from_shared(text.to_owned()).map_err(|source| invalid(Some(source)))?;
        if endpoint.uri().scheme_str() != Some("http") || endpoint.uri().host().is_none() {
            return Err(invalid(None));
        }
        let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT).timeout(EXPORT_TIMEOUT);
        let (queue, receiver) = queue::queue(QUEUE_EXPORTS_MAX, QUEUE_BYTES_MAX);
        let (receiver, overflowed) = (Mutex::new(Some(receiver)), AtomicU64::new(0));
        Ok(Self(Arc::new(Inner { endpoint, text: text.to_owned(), queue, receiver, overflowed })))
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.0.text
    }

    /// Whether the endpoint is this address.
    pub(crate) async fn is_to(&self, address: SocketAddr) -> bool {
        let uri = self.0.endpoint.uri();
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(80);
        // A name that does not resolve now is no loop now.
        port == address.port()
            && tokio::net::lookup_host((host, port)).await.is_ok_and(|mut found| found.any(|found| found == address))
    }

    /// Never waits.
    pub(crate) fn send(&self, export: Export) {
        let (items, bytes) = (export.items(), export.encoded_len());
        if self.0.queue.try_send(Some(export), bytes).is_err() {
            self.0.overflowed.fetch_add(items, Ordering::Relaxed);
        }
    }

    /// Starts the task; a second start would find no queue, and does nothing.
    pub(crate) fn start(&self) -> Forwarding {
        let receiver = self.0.receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
        let task = receiver.map(|receiver| tokio::spawn(run(self.clone(), receiver)));
        Forwarding { task, forward: self.clone() }
    }
}

impl Forwarding {
    /// Gives the queue a moment to empty.
    pub(crate) async fn finish(mut self) {
        let Some(task) = &mut self.task else { return };
        let finished = async {
            // An error means that the task has ended already.
            let _ = self.forward.0.queue.send(None).await;
            let _ = task.await;
        };
        if tokio::time::timeout(FINISH_TIMEOUT, finished).await.is_err() {
            tracing::warn!(endpoint = self.forward.endpoint(), "telemetry that was still to be forwarded is lost");
        }
    }
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Export {
    /// Spans, log records or metrics in it.
    fn items(&self) -> u64 {
        let items: usize = match self {
            Self::Traces(r) => r.resource_spans.iter().flat_map(|r| &r.scope_spans).map(|s| s.spans.len()).sum(),
            Self::Logs(r) => r.resource_logs.iter().flat_map(|r| &r.scope_logs).map(|s| s.log_records.len()).sum(),
            Self::Metrics(r) => r.resource_metrics.iter().flat_map(|r| &r.scope_metrics).map(|s| s.metrics.len()).sum(),
        };
        items as u64
    }

    fn encoded_len(&self) -> usize {
        match self {
            Self::Traces(request) => request.encoded_len(),
            Self::Logs(request) => request.encoded_len(),
            Self::Metrics(request) => request.encoded_len(),
        }
    }

    fn signal(&self) -> &'static str {
        match self {
            Self::Traces(_) => "traces",
            Self::Logs(_) => "logs",
            Self::Metrics(_) => "metrics",
        }
    }

    async fn export(self, channel: &Channel) -> Result<(), Status> {
        let channel = channel.clone();
        match self {
            Self::Traces(request) => TraceServiceClient::new(channel).export(request).await.map(drop),
            Self::Logs(request) => LogsServiceClient::new(channel).export(request).await.map(drop),
            Self::Metrics(request) => MetricsServiceClient::new(channel).export(request).await.map(drop),
        }
    }
}

/// Ends at the `None` that `finish` puts in.
async fn run(forward: Forward, mut queue: mpsc::Receiver<Queued<Option<Export>>>) {
    let mut target = Target {
        channel: forward.0.endpoint.connect_lazy(),
        away: Spell::default(),
        refusing: Spell::default(),
        behind: Spell::default(),
        unwanted: Vec::new(),
        forward,
    };
    while let Some(Queued { item: Some(export), .. }) = queue.recv().await {
        if !target.unwanted.contains(&export.signal()) {
            target.export(export).await;
        }
    }
}

/// The other receiver, as far as this one knows.
struct Target {
    forward: Forward,
    channel: Channel,
    /// Reached → (no answer) away → (an answer) reached.
    away: Spell,
    /// Reached → (an error as answer) refusing → (OK) reached.
    refusing: Spell,
    /// The queue had room → (it had none) behind → (it had) room again.
    behind: Spell,
    /// The signals that it has no service for.
    unwanted: Vec<&'static str>,
}

impl Target {
    /// Tries for as long as nobody answers, within a bound: one export that breaks the target must
    /// not hold up the others for ever.
    async fn export(&mut self, export: Export) {
        let endpoint = self.forward.endpoint();
        for _ in 0..ATTEMPTS_MAX {
            match export.clone().export(&self.channel).await {
                Err(status) if is_away(&status) => {
                    if self.away.failed(0) {
                        let cause = crate::error::status_chain(&status);
                        tracing::warn!(endpoint, cause, "telemetry cannot be forwarded; the queue keeps what it can");
                    }
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
                answer => return self.answered(&export, answer),
            }
        }
        self.away.failed(export.items());
    }

    fn answered(&mut self, export: &Export, answer: Result<(), Status>) {
        let (endpoint, signal) = (self.forward.endpoint(), export.signal());
        let overflowed = self.forward.0.overflowed.swap(0, Ordering::Relaxed);
        if let Some(lost) = self.away.worked() {
            tracing::info!(endpoint, dropped = lost + overflowed, "telemetry is being forwarded again");
        } else if overflowed > 0 && self.behind.failed(overflowed) {
            tracing::warn!(endpoint, "telemetry is forwarded too slowly; it is dropped until this ends");
        } else if overflowed == 0
            && let Some(dropped) = self.behind.worked()
        {
            tracing::info!(endpoint, dropped, "all telemetry is being forwarded again");
        }
        match answer {
            Ok(()) => {
                if let Some(dropped) = self.refusing.worked() {
                    tracing::info!(endpoint, dropped, "forwarded telemetry is being taken again");
                }
            }
            // Jaeger, for one, takes traces only.
            Err(status) if status.code() == Code::Unimplemented => {
                self.unwanted.push(signal);
                tracing::info!(endpoint, signal, "the receiver does not take these, so they are not forwarded");
            }
            Err(status) => {
                if self.refusing.failed(export.items()) {
                    let cause = crate::error::status_chain(&status);
                    tracing::warn!(endpoint, cause, "forwarded telemetry is refused; it is dropped until this ends");
                }
            }
        }
    }
}

/// A connection that breaks in the middle of a call is told as `UNKNOWN` or `CANCELLED`.
fn is_away(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Unknown | Code::Cancelled)
}
