//! Logs and metrics as a test wants to see them: in memory, the latest of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use tokio::sync::watch;

use crate::decode;

/// Log records, and separately metric points, that are remembered; older ones are forgotten.
const REMEMBERED_MAX: usize = 10_000;

/// What a receiver was sent beside traces. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Capture {
    seen: Arc<Mutex<Seen>>,
    exports: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Seen {
    logs: VecDeque<Log>,
    points: VecDeque<MetricPoint>,
}

/// A log record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The resource's `service.name`.
    pub service: String,
    /// Such as `INFO`.
    pub severity: String,
    /// The message.
    pub body: String,
    /// 32 lowercase hexadecimal digits, if the record belongs to a trace.
    pub trace_id: Option<String>,
    /// 16 lowercase hexadecimal digits, if the record belongs to a span.
    pub span_id: Option<String>,
    /// Values written as text.
    pub attributes: Vec<(String, String)>,
}

/// One value of a metric for one set of attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricPoint {
    /// The resource's `service.name`.
    pub service: String,
    /// The metric's name.
    pub name: String,
    /// Values written as text.
    pub attributes: Vec<(String, String)>,
}

impl Capture {
    /// The latest 10,000 log records, oldest first.
    pub fn logs(&self) -> Vec<Log> {
        self.seen().logs.iter().cloned().collect()
    }

    /// The latest 10,000 metric points, oldest first.
    pub fn metric_points(&self) -> Vec<MetricPoint> {
        self.seen().points.iter().cloned().collect()
    }

    /// How many exports of logs and metrics have been received, to be waited for.
    pub fn exports(&self) -> watch::Receiver<u64> {
        self.exports.subscribe()
    }

    pub(crate) fn add_logs(&self, request: &ExportLogsServiceRequest) {
        for resource in &request.resource_logs {
            let service = decode::service_name(resource.resource.as_ref());
            for record in resource.scope_logs.iter().flat_map(|scope| &scope.log_records) {
                let log = Log {
                    service: service.clone(),
                    severity: record.severity_text.clone(),
                    body: decode::text(record.body.as_ref()),
                    trace_id: (!record.trace_id.is_empty()).then(|| decode::hex(&record.trace_id)),
                    span_id: (!record.span_id.is_empty()).then(|| decode::hex(&record.span_id)),
                    attributes: decode::pairs(&record.attributes),
                };
                remember(&mut self.seen().logs, log);
            }
        }
        self.exports.send_modify(|exports| *exports += 1);
    }

    pub(crate) fn add_metrics(&self, request: &ExportMetricsServiceRequest) {
        for resource in &request.resource_metrics {
            let service = decode::service_name(resource.resource.as_ref());
            for metric in resource.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
                for attributes in metric.data.iter().flat_map(point_attributes) {
                    let attributes = decode::pairs(attributes);
                    let point = MetricPoint { service: service.clone(), name: metric.name.clone(), attributes };
                    remember(&mut self.seen().points, point);
                }
            }
        }
        self.exports.send_modify(|exports| *exports += 1);
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Nothing panics while it holds the lock, and a list is whole after each push.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remember<T>(list: &mut VecDeque<T>, item: T) {
    if list.len() == REMEMBERED_MAX {
        list.pop_front();
    }
    list.push_back(item);
}

fn point_attributes(data: &Data) -> Vec<&[KeyValue]> {
    match data {
        Data::Gauge(gauge) => gauge.data_points.iter().map(|point| point.attributes.as_slice()).collect(),
        Data::Sum(sum) => sum.data_points.iter().map(|point| point.attributes.as_slice()).collect(),
        Data::Histogram(data) => data.data_points.iter().map(|point| point.attributes.as_slice()).collect(),
        Data::ExponentialHistogram(data) => data.data_points.iter().map(|point| point.attributes.as_slice()).collect(),
        Data::Summary(summary) => summary.data_points.iter().map(|point| point.attributes.as_slice()).collect(),
    }
}
