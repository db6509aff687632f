//! One connection to the collector, for spans and for the metrics of calls.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, Bytes};
use http::uri::PathAndQuery;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::collector::{Collector, Signal};
use crate::encode;
use crate::init::{EXPORT_TIMEOUT, InitError};

const EXPORT: PathAndQuery = PathAndQuery::from_static("/opentelemetry.proto.collector.trace.v1.TraceService/Export");

/// Sends to a collector, whose coming and going it notes.
#[derive(Debug)]
pub(super) struct Sender {
    channel: Channel,
    resource: Vec<u8>,
    collector: Arc<Collector>,
}

impl Sender {
    /// Connects when there is something to send. Needs a runtime.
    pub(super) fn new(endpoint: &str, resource: Vec<u8>, collector: Arc<Collector>) -> Result<Self, InitError> {
        let endpoint = Endpoint::from_shared(endpoint.to_owned()).map_err(InitError::Endpoint)?;
        let channel = endpoint.connect_timeout(EXPORT_TIMEOUT).connect_lazy();
        Ok(Self { channel, resource, collector })
    }

    /// Sends `count` encoded spans; what the collector does not take is lost, and counted.
    pub(super) async fn send_spans(&mut self, spans: Vec<Bytes>, count: usize) {
        let bytes = spans.iter().map(Bytes::len).sum();
        let request = Parts { head: encode::request_head(&self.resource, "seawall", bytes), spans };
        let mut grpc = Grpc::new(self.channel.clone());
        let export = async {
            grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            grpc.unary(Request::new(request), EXPORT, Encoded).await
        };
        let result = within(EXPORT_TIMEOUT, export).await;
        if let Ok(response) = &result
            && let Some(partial) = &response.get_ref().partial_success
            && partial.rejected_spans > 0
        {
            tracing::debug!(
                rejected = partial.rejected_spans,
                message = partial.error_message,
                "the collector refuses spans"
            );
        }
        self.collector.note(Signal::Spans, result.map(drop), count);
    }

    /// Sends metrics. They are cumulative: the next time makes up for this one.
    pub(super) async fn send_metrics(&mut self, metrics: Vec<Metric>) {
        if metrics.is_empty() {
            return;
        }
        let scope = InstrumentationScope { name: "seawall.grpc".to_owned(), ..Default::default() };
        let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics, ..Default::default() }];
        // It was encoded by us.
        let resource = Resource::decode(&*self.resource).ok();
        let request = ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics { resource, scope_metrics, ..Default::default() }],
        };
        let mut client = MetricsServiceClient::new(self.channel.clone());
        let result = within(EXPORT_TIMEOUT, client.export(request)).await;
        self.collector.note(Signal::Metrics, result.map(drop), 0);
    }
}

async fn within<T>(time: Duration, call: impl Future<Output = Result<T, Status>>) -> Result<T, impl Display> {
    let result = timeout(time, call).await.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
    result.map_err(|status| format!("{:?}: {}", status.code(), status.message()))
}

/// A request that is encoded already, in parts.
#[derive(Debug)]
struct Parts {
    head: Vec<u8>,
    spans: Vec<Bytes>,
}

#[derive(Debug, Clone, Copy)]
struct Encoded;

impl Codec for Encoded {
    type Encode = Parts;
    type Decode = ExportTraceServiceResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Encoded {
    type Item = Parts;
    type Error = Status;

    fn encode(&mut self, item: Parts, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.reserve(item.head.len() + item.spans.iter().map(Bytes::len).sum::<usize>());
        out.put_slice(&item.head);
        item.spans.iter().for_each(|spans| out.put_slice(spans));
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = ExportTraceServiceResponse;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        ExportTraceServiceResponse::decode(from).map(Some).map_err(|error| Status::data_loss(error.to_string()))
    }
}
