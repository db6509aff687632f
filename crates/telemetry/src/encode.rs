//! Spans as OTLP has them (`opentelemetry/proto/trace/v1/trace.proto`), written once and straight into
//! what is sent: there are as many as calls, and making messages of them first would cost more than all
//! that a span is made of.

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

fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    key(out, field, BYTES);
    varint(out, value.len() as u64);
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
    key(out, field, BYTES);
    let start = out.len();
    // Room for a length below 128, which most are.
    out.push(0);
    write(out);
    let length = out.len() - start - 1;
    if let Ok(length @ 0..0x80) = u8::try_from(length) {
        out[start] = length;
    } else {
        let mut prefix = Vec::new();
        varint(&mut prefix, length as u64);
        out.splice(start..=start, prefix);
    }
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

/// Attributes of a span, ready to be put into one.
pub(crate) fn attributes(all: &[KeyValue]) -> Vec<u8> {
    let mut out = Vec::new();
    all.iter().for_each(|pair| attribute(&mut out, SPAN_ATTRIBUTES, pair.key.as_str(), &pair.value));
    out
}

/// `ExportTraceServiceRequest`: what is to be sent, with all spans in it.
///
/// `resource` is an encoded `Resource`; `spans` are the spans of one scope, each as [`span`] has written it.
pub(crate) fn request(resource: &[u8], scope: &str, spans: &[u8]) -> Vec<u8> {
    let mut of_scope = Vec::with_capacity(spans.len() + scope.len() + 16);
    message(&mut of_scope, 1, |out| bytes(out, 1, scope.as_bytes()));
    of_scope.extend_from_slice(spans);
    let mut of_resource = Vec::with_capacity(of_scope.len() + resource.len() + 32);
    bytes(&mut of_resource, 1, resource);
    bytes(&mut of_resource, 2, &of_scope);
    let mut out = Vec::with_capacity(of_resource.len() + 16);
    bytes(&mut out, 1, &of_resource);
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
    message(out, 2, |out| {
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
                    text_attribute(out, "network.peer.address", &peer.ip().to_string());
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

fn of_call(out: &mut Vec<u8>, series: &Series, code: Code) {
    let kind = if series.kind == Kind::Server { 2 } else { 3 };
    bytes(out, 5, series.method.as_bytes());
    number(out, 6, kind);
    out.extend_from_slice(&series.attributes);
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
