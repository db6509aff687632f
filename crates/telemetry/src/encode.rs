//! Spans as OTLP has them (`opentelemetry/proto/trace/v1/trace.proto`), written once and straight into
//! what is sent: there are as many as calls, and making messages of them first would cost more than all
//! that a span is made of.

use std::io::Write as _;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::{Array, KeyValue, Value};
use seawall_error::code_name;
use seawall_trace::{Event, Notes};
use tonic::Code;

use crate::export::{Finished, Named, What};
use crate::series::{Kind, Series};

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;
const FIXED32: u32 = 5;

/// `Span.flags`: its trace is sampled, and it is known whether its parent is in another process.
const SAMPLED: u32 = 1;
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// `Status.code` of a span that went wrong.
const STATUS_ERROR: u64 = 2;

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn key(out: &mut Vec<u8>, field: u32, wire_type: u32) {
    varint(out, u64::from(field << 3 | wire_type));
}

/// What stands before so many bytes.
fn head(out: &mut Vec<u8>, field: u32, length: usize) {
    key(out, field, BYTES);
    varint(out, length as u64);
}

fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    head(out, field, value.len());
    out.extend_from_slice(value);
}

fn number(out: &mut Vec<u8>, field: u32, value: u64) {
    key(out, field, VARINT);
    varint(out, value);
}

fn fixed64(out: &mut Vec<u8>, field: u32, value: u64) {
    key(out, field, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A message in a message: `write` is told where, and its length is put in front of it.
fn message(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    message_about::<1>(out, field, write);
}

/// The same for one whose length has usually no more than so many digits of seven bits. A length is padded to
/// those with zeros, which stand in its highest digits.
fn message_about<const DIGITS: usize>(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    key(out, field, BYTES);
    let start = out.len();
    out.extend_from_slice(&[0; DIGITS]);
    write(out);
    let mut length = out.len() - start - DIGITS;
    for digit in &mut out[start..start + DIGITS] {
        *digit = length as u8 & 0x7f | 0x80;
        length >>= 7;
    }
    if length == 0 {
        out[start + DIGITS - 1] &= 0x7f;
        return;
    }
    let mut more = Vec::new();
    varint(&mut more, length as u64);
    out.splice(start + DIGITS..start + DIGITS, more);
}

/// Nanoseconds since 1970.
pub(crate) fn unix_nanos(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

fn any_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::String(text) => bytes(out, 1, text.as_str().as_bytes()),
        Value::Bool(value) => number(out, 2, u64::from(*value)),
        Value::I64(value) => number(out, 3, *value as u64),
        Value::F64(value) => fixed64(out, 4, value.to_bits()),
        Value::Array(array) => message(out, 5, |out| elements(out, array)),
        // There are no others.
        _ => {}
    }
}

/// `ArrayValue.values`.
fn elements(out: &mut Vec<u8>, array: &Array) {
    let mut each = |write: &dyn Fn(&mut Vec<u8>)| message(out, 1, |out| write(out));
    match array {
        Array::String(all) => all.iter().for_each(|text| each(&|out| bytes(out, 1, text.as_str().as_bytes()))),
        Array::Bool(all) => all.iter().for_each(|value| each(&|out| number(out, 2, u64::from(*value)))),
        Array::I64(all) => all.iter().for_each(|value| each(&|out| number(out, 3, *value as u64))),
        Array::F64(all) => all.iter().for_each(|value| each(&|out| fixed64(out, 4, value.to_bits()))),
        // There are no others.
        _ => {}
    }
}

fn attribute(out: &mut Vec<u8>, field: u32, name: &str, value: &Value) {
    message(out, field, |out| {
        bytes(out, 1, name.as_bytes());
        message(out, 2, |out| any_value(out, value));
    });
}

fn text_attribute(out: &mut Vec<u8>, name: &str, value: &str) {
    message(out, SPAN_ATTRIBUTES, |out| {
        bytes(out, 1, name.as_bytes());
        message(out, 2, |out| bytes(out, 1, value.as_bytes()));
    });
}

const SPAN_ATTRIBUTES: u32 = 9;

/// The beginning of an `ExportTraceServiceRequest`, after which `spans_bytes` of spans follow, those of one
/// scope, each as [`span`] has written it. `resource` is an encoded `Resource`.
pub(crate) fn request_head(resource: &[u8], scope: &str, spans_bytes: usize) -> Vec<u8> {
    let mut of_scope = Vec::new();
    message(&mut of_scope, 1, |out| bytes(out, 1, scope.as_bytes()));
    let mut of_resource = Vec::new();
    bytes(&mut of_resource, 1, resource);
    head(&mut of_resource, 2, of_scope.len() + spans_bytes);
    of_resource.extend(of_scope);
    let mut out = Vec::new();
    head(&mut out, 1, of_resource.len() + spans_bytes);
    out.extend(of_resource);
    out
}

/// An encoded `Resource` with these attributes.
pub(crate) fn resource<'a>(attributes: impl IntoIterator<Item = (&'a opentelemetry::Key, &'a Value)>) -> Vec<u8> {
    let mut out = Vec::new();
    attributes.into_iter().for_each(|(name, value)| attribute(&mut out, 1, name.as_str(), value));
    out
}

/// Adds a span to those of a scope (`ScopeSpans.spans`).
pub(crate) fn span(out: &mut Vec<u8>, span: &Finished) {
    message_about::<2>(out, 2, |out| {
        bytes(out, 1, &span.context.trace_id.0.to_be_bytes());
        bytes(out, 2, &span.context.span_id.0.to_be_bytes());
        if let Some(carried) = span.carried.as_ref().filter(|carried| !carried.tracestate.is_empty()) {
            let values: Vec<&str> = carried.tracestate.iter().filter_map(|value| value.to_str().ok()).collect();
            bytes(out, 3, values.join(",").as_bytes());
        }
        if span.parent.0 != 0 {
            bytes(out, 4, &span.parent.0.to_be_bytes());
        }
        fixed64(out, 7, span.start);
        fixed64(out, 8, span.end);
        let is_remote = match &span.what {
            What::Call { series, code, peer } => {
                of_call(out, series, *code);
                if let Some(peer) = peer {
                    message(out, SPAN_ATTRIBUTES, |out| {
                        bytes(out, 1, b"network.peer.address");
                        message(out, 2, |out| message(out, 1, |out| ip(out, peer.ip())));
                    });
                    attribute(out, SPAN_ATTRIBUTES, "network.peer.port", &Value::I64(peer.port().into()));
                }
                series.kind == Kind::Server && span.parent.0 != 0
            }
            What::Named(named) => {
                of_named(out, named);
                false
            }
        };
        notes(out, &span.notes);
        key(out, 16, FIXED32);
        let flags = SAMPLED | HAS_IS_REMOTE | if is_remote { IS_REMOTE } else { 0 };
        out.extend_from_slice(&flags.to_le_bytes());
    });
}

/// As text.
fn ip(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (at, byte) in address.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                let digits = [byte / 100, byte / 10 % 10, byte % 10];
                let first = if byte < 10 { 2 } else { usize::from(byte < 100) };
                out.extend(digits[first..].iter().map(|digit| b'0' + digit));
            }
        }
        // A vector takes everything.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

/// What all spans of one kind of call have in common.
pub(crate) fn common(kind: Kind, method: &str, attributes: &[KeyValue]) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(&mut out, 5, method.as_bytes());
    number(&mut out, 6, if kind == Kind::Server { 2 } else { 3 });
    attributes.iter().for_each(|pair| attribute(&mut out, SPAN_ATTRIBUTES, pair.key.as_str(), &pair.value));
    out
}

fn of_call(out: &mut Vec<u8>, series: &Series, code: Code) {
    out.extend_from_slice(&series.common);
    text_attribute(out, "rpc.response.status_code", code_name(code));
    if is_error(series.kind, code) {
        text_attribute(out, "error.type", code_name(code));
        status(out, "", STATUS_ERROR);
    }
}

fn of_named(out: &mut Vec<u8>, named: &Named) {
    bytes(out, 5, named.name.as_bytes());
    number(out, 6, named.kind);
    named.attributes.iter().for_each(|pair| attribute(out, SPAN_ATTRIBUTES, pair.key.as_str(), &pair.value));
    if named.status != 0 {
        status(out, &named.status_message, named.status);
    }
}

fn status(out: &mut Vec<u8>, text: &str, code: u64) {
    message(out, 15, |out| {
        if !text.is_empty() {
            bytes(out, 2, text.as_bytes());
        }
        number(out, 3, code);
    });
}

fn notes(out: &mut Vec<u8>, notes: &Notes) {
    notes.attributes.iter().for_each(|pair| attribute(out, SPAN_ATTRIBUTES, pair.key.as_str(), &pair.value));
    for Event { name, time, attributes } in &notes.events {
        message(out, 11, |out| {
            fixed64(out, 1, unix_nanos(*time));
            bytes(out, 2, name.as_bytes());
            attributes.iter().for_each(|pair| attribute(out, 3, pair.key.as_str(), &pair.value));
        });
    }
    if notes.dropped > 0 {
        number(out, 12, notes.dropped.into());
    }
}

/// A server is at fault for some codes only (OpenTelemetry's conventions for gRPC).
pub(crate) fn is_error(kind: Kind, code: Code) -> bool {
    match kind {
        Kind::Client | Kind::Attempt => code != Code::Ok,
        Kind::Server => matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        ),
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value::Value as Decoded;
    use opentelemetry_proto::tonic::trace::v1::Span;
    use prost::Message as _;
    use seawall_trace::{SpanId, TraceContext};

    use super::*;
    use crate::series::{Table, Target};

    fn text(span: &Span, name: &str) -> String {
        let found = span.attributes.iter().find(|pair| pair.key == name).unwrap_or_else(|| panic!("{name}"));
        match found.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(Decoded::StringValue(text)) => text.clone(),
            Some(Decoded::IntValue(number)) => number.to_string(),
            other => panic!("{name} is {other:?}"),
        }
    }

    fn call(peer: &str, text: &str) -> Finished {
        let series = Table::new(Kind::Server, &Target::default(), ["encode.Is/Read"]).get("/encode.Is/Read");
        let attributes = vec![KeyValue::new("text", text.to_owned())];
        let notes = Notes { attributes, ..Notes::default() };
        let what = What::Call { series, code: Code::Ok, peer: peer.parse().ok() };
        let (context, parent) = (TraceContext::root(true), SpanId(7));
        Finished { context, parent, carried: None, start: 1, end: 2, notes, what }
    }

    #[test]
    fn what_is_written_is_read_by_others_whatever_its_length() {
        let lengths = [0, 1, 90, 100, 115, 120, 126, 127, 128, 129, 16_000, 16_100, 16_200, 16_383, 16_384, 3_000_000];
        let mut spans = Vec::new();
        for length in lengths {
            span(&mut spans, &call("10.0.209.7:50051", &"x".repeat(length)));
        }
        let resource = resource([(&opentelemetry::Key::new("service.name"), &Value::from("shop"))]);
        let request = [request_head(&resource, "seawall", spans.len()), spans].concat();
        let request = ExportTraceServiceRequest::decode(&*request).unwrap();
        let [of_resource] = &request.resource_spans[..] else { panic!("one resource") };
        assert_eq!(of_resource.resource.as_ref().unwrap().attributes[0].key, "service.name");
        let [of_scope] = &of_resource.scope_spans[..] else { panic!("one scope") };
        assert_eq!(of_scope.scope.as_ref().unwrap().name, "seawall");
        assert_eq!(of_scope.spans.len(), lengths.len());
        for (span, length) in of_scope.spans.iter().zip(lengths) {
            assert_eq!(text(span, "text").len(), length);
            assert_eq!((span.name.as_str(), span.kind), ("encode.Is/Read", 2));
            assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (1, 2));
            assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
            assert_eq!(span.parent_span_id, 7_u64.to_be_bytes());
            assert_eq!(span.flags, SAMPLED | HAS_IS_REMOTE | IS_REMOTE);
            assert_eq!(text(span, "rpc.response.status_code"), "OK");
            assert_eq!(text(span, "network.peer.address"), "10.0.209.7");
            assert_eq!(text(span, "network.peer.port"), "50051");
        }
    }

    #[test]
    fn addresses_are_written_as_everybody_writes_them() {
        for address in ["0.0.0.0", "1.22.255.100", "9.10.99.101", "::1", "2001:db8::a:1"] {
            let mut out = Vec::new();
            ip(&mut out, address.parse().unwrap());
            assert_eq!(String::from_utf8(out).unwrap(), address);
        }
    }
}
