//! The headers of W3C Trace Context (<https://www.w3.org/TR/trace-context/>) and Baggage.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use seawall_headers::{TRACE, may_have};

use crate::{Scope, SpanId, TraceContext, TraceId};

/// The ids and whether the trace is sampled.
pub static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What tracing systems add for themselves.
pub static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// What an application hands on.
pub static BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// How many headers of one name are handed on. Both specifications let a system join them.
const HEADERS_MAX: usize = 8;

/// What travels with a trace besides its ids, and is handed on as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Carried {
    /// The values of `tracestate`.
    pub tracestate: Vec<HeaderValue>,
    /// The values of `baggage`.
    pub baggage: Vec<HeaderValue>,
}

/// Reads all three. What cannot be read is as if it were not there; a `tracestate` without a
/// `traceparent` means nothing.
pub fn extract(headers: &HeaderMap) -> (TraceContext, Option<Arc<Carried>>) {
    if !may_have(TRACE) {
        return (TraceContext::NONE, None);
    }
    let mut parents = headers.get_all(&TRACEPARENT).iter();
    let context = match (parents.next(), parents.next()) {
        (Some(parent), None) => parse_traceparent(parent.as_bytes()).unwrap_or_default(),
        _ => TraceContext::NONE,
    };
    let all =
        |name: &HeaderName| -> Vec<HeaderValue> { headers.get_all(name).iter().take(HEADERS_MAX).cloned().collect() };
    let tracestate = if context.is_valid() { all(&TRACESTATE) } else { Vec::new() };
    let carried = Carried { tracestate, baggage: all(&BAGGAGE) };
    let is_empty = carried.tracestate.is_empty() && carried.baggage.is_empty();
    (context, (!is_empty).then(|| Arc::new(carried)))
}

/// Writes them for what is current, over what is there.
pub fn inject(headers: &mut HeaderMap) {
    let context = TraceContext::current();
    if context.is_valid() {
        headers.insert(TRACEPARENT.clone(), traceparent(context));
    }
    let Some(carried) = Scope::current_carried() else { return };
    for (name, values) in [(&TRACESTATE, &carried.tracestate), (&BAGGAGE, &carried.baggage)] {
        headers.remove(name);
        for value in values {
            headers.append(name.clone(), value.clone());
        }
    }
}

/// The length of a `traceparent` of version 00: `00-<32 hex>-<16 hex>-<2 hex>`.
const LENGTH: usize = 55;

/// Reads a `traceparent`. Of later versions it reads what is as in version 00, as the specification
/// wants.
pub fn parse_traceparent(value: &[u8]) -> Option<TraceContext> {
    let (known, rest) = value.split_at_checked(LENGTH)?;
    let dashes = known[2] == b'-' && known[35] == b'-' && known[52] == b'-';
    let version = hex(&known[..2])?;
    let is_whole = rest.is_empty() || (version > 0 && rest[0] == b'-');
    let (trace_id, span_id) = (TraceId(hex(&known[3..35])?), SpanId(hex(&known[36..52])? as u64));
    let flags = hex(&known[53..])?;
    let is_valid = dashes && version < 0xff && is_whole && trace_id.0 != 0 && span_id.0 != 0;
    is_valid.then_some(TraceContext { trace_id, span_id, is_sampled: flags & 1 == 1 })
}

/// Up to 32 digits of lower-case hex.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

fn traceparent(context: TraceContext) -> HeaderValue {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    write_hex(&mut text[3..35], context.trace_id.0);
    write_hex(&mut text[36..52], context.span_id.0.into());
    text[54] += u8::from(context.is_sampled);
    // It is text.
    let mut value = HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static(""));
    // Never the same twice: in HPACK's table it would be of no use, and displace what is.
    value.set_sensitive(true);
    value
}

fn write_hex(into: &mut [u8], mut number: u128) {
    for digit in into.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 0xf) as usize];
        number >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn what_comes_in_goes_out() {
        let came = headers(&[
            ("traceparent", PARENT),
            ("tracestate", "a=1"),
            ("tracestate", "b=2"),
            ("baggage", "user=7;secret, tier=gold"),
        ]);
        let (context, carried) = extract(&came);
        assert!(context.is_sampled);
        assert_eq!(context.trace_id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        let mut went = headers(&[("tracestate", "old=1"), ("baggage", "old=1")]);
        Scope::new(context).with_carried(carried).enter(|| inject(&mut went));
        assert_eq!(went, came);
    }

    #[test]
    fn what_cannot_be_read_is_not_there() {
        for value in [
            "",
            "00",
            "00-0-0-0",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
        ] {
            assert_eq!(parse_traceparent(value.as_bytes()), None, "{value}");
        }
        let twice = headers(&[("traceparent", PARENT), ("traceparent", PARENT), ("tracestate", "a=1")]);
        assert_eq!(extract(&twice), (TraceContext::NONE, None));
    }

    #[test]
    fn of_a_later_version_is_read_what_is_known() {
        let later = format!("cc{}-what-comes-then", &PARENT[2..]);
        assert_eq!(parse_traceparent(later.as_bytes()), parse_traceparent(PARENT.as_bytes()));
        let flags = format!("{}03", &PARENT[..53]);
        assert_eq!(parse_traceparent(flags.as_bytes()), parse_traceparent(PARENT.as_bytes()));
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read(trace_id in 1_u128.., span_id in 1_u64.., is_sampled: bool) {
            let context = TraceContext { trace_id: TraceId(trace_id), span_id: SpanId(span_id), is_sampled };
            prop_assert_eq!(parse_traceparent(traceparent(context).as_bytes()), Some(context));
        }

        #[test]
        fn no_bytes_are_too_strange(bytes: Vec<u8>) {
            parse_traceparent(&bytes);
        }
    }
}
