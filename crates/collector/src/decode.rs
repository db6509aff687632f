//! From OTLP's protobuf messages to the values of `trace.rs`.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{Span as Proto, span::SpanKind, status::StatusCode};

use crate::trace::{Event, Kind, Span, Status};

const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// OTLP demands ids of 16 and 8 bytes that are not all zero; a span without them cannot be found again.
pub(crate) fn is_valid(span: &Proto) -> bool {
    let is_id = |id: &[u8], bytes: usize| id.len() == bytes && id.iter().any(|byte| *byte != 0);
    is_id(&span.trace_id, 16) && is_id(&span.span_id, 8)
}

/// `service.name`, under the name that OpenTelemetry gives to a service without one.
pub(crate) fn service_name(resource: Option<&Resource>) -> String {
    resource
        .and_then(|resource| resource.attributes.iter().find(|attribute| attribute.key == "service.name"))
        .map(|attribute| text(attribute.value.as_ref()))
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown_service".to_owned())
}

pub(crate) fn is_error(span: &Proto) -> bool {
    span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error)
}

pub(crate) fn span(proto: Proto, service: String) -> Span {
    let kind = match proto.kind() {
        SpanKind::Unspecified | SpanKind::Internal => Kind::Internal,
        SpanKind::Server => Kind::Server,
        SpanKind::Client => Kind::Client,
        SpanKind::Producer => Kind::Producer,
        SpanKind::Consumer => Kind::Consumer,
    };
    let (status, status_message) = match proto.status {
        None => (Status::Unset, String::new()),
        Some(status) => match status.code() {
            StatusCode::Unset => (Status::Unset, status.message),
            StatusCode::Ok => (Status::Ok, status.message),
            StatusCode::Error => (Status::Error, status.message),
        },
    };
    let attributes = pairs(&proto.attributes);
    let mut events: Vec<Event> = proto
        .events
        .into_iter()
        .map(|event| Event { time_ns: event.time_unix_nano, attributes: pairs(&event.attributes), name: event.name })
        .collect();
    events.sort_by_key(|event| event.time_ns);
    Span {
        trace_id: hex(&proto.trace_id),
        span_id: hex(&proto.span_id),
        // An id of zeros is how some senders write that there is no parent.
        parent_id: proto.parent_span_id.iter().any(|byte| *byte != 0).then(|| hex(&proto.parent_span_id)),
        code: code(&attributes, status),
        service,
        name: proto.name,
        kind,
        status,
        status_message,
        start_ns: proto.start_time_unix_nano,
        duration_ns: proto.end_time_unix_nano.saturating_sub(proto.start_time_unix_nano),
        attributes,
        events,
    }
}

/// Either attribute may hold a number or a name, depending on the age of the sender's conventions.
fn code(attributes: &[(String, String)], status: Status) -> String {
    let sent = ["rpc.grpc.status_code", "rpc.response.status_code"]
        .iter()
        .find_map(|key| attributes.iter().find(|(k, value)| k == key && !value.is_empty()));
    let fallback = match status {
        Status::Unset => "UNSET",
        Status::Ok => "OK",
        Status::Error => "ERROR",
    };
    let Some((_, value)) = sent else { return fallback.to_owned() };
    let known = value.parse::<usize>().ok().and_then(|number| CODES.get(number));
    known.map_or_else(|| value.clone(), |name| (*name).to_owned())
}

pub(crate) fn pairs(attributes: &[KeyValue]) -> Vec<(String, String)> {
    attributes.iter().map(|attribute| (attribute.key.clone(), text(attribute.value.as_ref()))).collect()
}

/// A value as a person would write it: a string bare, a list or map as JSON, bytes in hexadecimal.
pub(crate) fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(string)) => string.clone(),
        value => match json(value) {
            serde_json::Value::String(string) => string,
            serde_json::Value::Null => String::new(),
            other => other.to_string(),
        },
    }
}

/// Recursion is bounded: the decoder refuses messages nested more than 100 deep.
fn json(value: Option<&Value>) -> serde_json::Value {
    let inner = |value: &Option<AnyValue>| json(value.as_ref().and_then(|value| value.value.as_ref()));
    match value {
        // String indexes point into a table that only profiles have.
        None | Some(Value::StringValueStrindex(_)) => serde_json::Value::Null,
        Some(Value::StringValue(string)) => string.clone().into(),
        Some(Value::BoolValue(value)) => (*value).into(),
        Some(Value::IntValue(value)) => (*value).into(),
        Some(Value::DoubleValue(value)) if value.is_finite() => (*value).into(),
        Some(Value::DoubleValue(value)) => value.to_string().into(),
        Some(Value::BytesValue(bytes)) => hex(bytes).into(),
        Some(Value::ArrayValue(array)) => array.values.iter().map(|value| json(value.value.as_ref())).collect(),
        Some(Value::KvlistValue(list)) => {
            serde_json::Value::Object(list.values.iter().map(|pair| (pair.key.clone(), inner(&pair.value))).collect())
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
