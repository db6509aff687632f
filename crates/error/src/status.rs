//! From [`Error`] to `google.rpc.Status`, and the trace id into every status that goes out.

use std::error::Error as StdError;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, HeaderName, HeaderValue};
use prost::Message as _;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _, pb};

use crate::{Detail, Error, Retry, SEAWALL};

/// Read of every answer, and parsed once.
static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// What the peer sends may be padded or not.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Builds the status, and logs the cause where the fault is ours or a dependency's: this is the
/// last place that knows it.
impl From<Error> for Status {
    fn from(error: Error) -> Self {
        log(&error);
        let inner = *error.0;
        let metadata = inner.metadata.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
        let mut details = ErrorDetails::with_error_info(
            inner.reason,
            inner.domain.as_str(),
            metadata.collect::<std::collections::HashMap<_, _>>(),
        );
        match &inner.detail {
            Detail::None => {}
            Detail::BadRequest(violations) => {
                let fields: Vec<_> = violations.iter().map(|(f, d)| FieldViolation::new(f, d)).collect();
                details.set_bad_request(fields);
            }
            Detail::Resource { kind, name } => {
                details.set_resource_info(*kind, name, "", &inner.message);
            }
        }
        if inner.retry.after.is_some() {
            details.set_retry_info(inner.retry.after);
        }
        let mut status = Status::with_error_details(inner.code, inner.message, details);
        if let Some(value) = pushback(inner.retry) {
            status.metadata_mut().insert(RETRY_PUSHBACK, value);
        }
        if let Some(source) = inner.source {
            status.set_source(Arc::from(source));
        }
        status
    }
}

/// The metadata in which a server tells a client when to try again, or not to (gRFC A6).
pub const RETRY_PUSHBACK: &str = "grpc-retry-pushback-ms";

fn pushback(retry: Retry) -> Option<MetadataValue<Ascii>> {
    if retry.forbidden {
        return Some(MetadataValue::from_static("-1"));
    }
    // Rounded up: who comes back a millisecond early is refused again.
    let after_ms = retry.after?.as_nanos().div_ceil(1_000_000);
    Some(i32::try_from(after_ms).unwrap_or(i32::MAX).into())
}

fn log(error: &Error) {
    let cause = chain(error);
    match error.code() {
        Code::Internal | Code::Unknown | Code::DataLoss => {
            tracing::error!(reason = error.reason(), cause, "call failed");
        }
        // Without a cause it is a decision of ours, which the call's span and metrics already tell.
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted if error.source().is_some() => {
            tracing::warn!(reason = error.reason(), cause, "call failed");
        }
        _ => {}
    }
}

/// The error and its causes, outermost first, each said once.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = said(cause);
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

/// A status in two words: its own text repeats its causes, and has them as Rust writes values.
fn said(error: &(dyn StdError + 'static)) -> String {
    match error.downcast_ref::<Status>() {
        Some(status) if status.message().is_empty() => code_name(status.code()).to_owned(),
        Some(status) => format!("{}: {}", code_name(status.code()), status.message()),
        None => error.to_string(),
    }
}

/// Adds `google.rpc.RequestInfo` with `request_id` to the status in `headers` (of a response without
/// a body, or its trailers), and `ErrorInfo` where the status came without details. Does nothing if
/// the status is OK or absent.
///
/// The details are a repeated field at the end of an encoded message, so they are appended to
/// without being decoded.
pub fn add_request_id(headers: &mut HeaderMap, request_id: &str) {
    let Some(code) = headers.get(&GRPC_STATUS).map(|value| Code::from_bytes(value.as_bytes())) else { return };
    if code == Code::Ok {
        return;
    }
    let sent = headers.get("grpc-status-details-bin").and_then(|value| LENIENT.decode(value.as_bytes()).ok());
    let mut details = sent.unwrap_or_else(|| bare(code, headers));
    let info = pb::RequestInfo { request_id: request_id.to_owned(), serving_data: String::new() };
    let any =
        prost_types::Any { type_url: "type.googleapis.com/google.rpc.RequestInfo".into(), value: info.encode_to_vec() };
    let tail = pb::Status { details: vec![any], ..Default::default() };
    details.extend(tail.encode_to_vec());
    if let Ok(value) = HeaderValue::try_from(STANDARD_NO_PAD.encode(details)) {
        headers.insert("grpc-status-details-bin", value);
    }
}

/// The details that a status made outside of Seawall should have had.
fn bare(code: Code, headers: &HeaderMap) -> Vec<u8> {
    let info = pb::ErrorInfo {
        reason: code_name(code).to_owned(),
        domain: SEAWALL.as_str().to_owned(),
        metadata: Default::default(),
    };
    // The header is percent-encoded, and the details are not.
    let message = Status::from_header_map(headers).map(|status| status.message().to_owned()).unwrap_or_default();
    let any =
        prost_types::Any { type_url: "type.googleapis.com/google.rpc.ErrorInfo".into(), value: info.encode_to_vec() };
    pb::Status { code: code.into(), message, details: vec![any] }.encode_to_vec()
}

/// The name of a code as the gRPC specification writes it, such as `NOT_FOUND`.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests;
