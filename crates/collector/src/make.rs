//! Spans as OTLP has them, in few words, for tests.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

/// A trace id that begins with `number` and is `number` throughout.
pub(crate) fn trace_id(number: u8) -> Vec<u8> {
    vec![number; 16]
}

/// A span of 1 to 255 in the trace of that number.
pub(crate) fn span(trace: u8, id: u64, parent: Option<u64>, name: &str, start_ns: u64, end_ns: u64) -> Span {
    Span {
        trace_id: trace_id(trace),
        span_id: id.to_be_bytes().to_vec(),
        parent_span_id: parent.map(|id| id.to_be_bytes().to_vec()).unwrap_or_default(),
        name: name.to_owned(),
        start_time_unix_nano: start_ns,
        end_time_unix_nano: end_ns,
        ..Default::default()
    }
}

pub(crate) fn string(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..Default::default() }
}

pub(crate) fn resource(service: &str) -> Resource {
    Resource { attributes: vec![string("service.name", service)], ..Default::default() }
}

pub(crate) fn batch(service: &str, spans: Vec<Span>) -> Vec<ResourceSpans> {
    let scope_spans = vec![ScopeSpans { spans, ..Default::default() }];
    vec![ResourceSpans { resource: Some(resource(service)), scope_spans, ..Default::default() }]
}

pub(crate) fn traces(service: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest { resource_spans: batch(service, spans) }
}
