//! The trace context of a call: read from headers, decided upon once, written to headers.
//!
//! It is always OpenTelemetry's current [`Context`]. Whether a call is sampled is decided where its
//! trace begins: by the caller if there is one, else by the ratio of this process.

use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::text_map_propagator::TextMapPropagator as _;
use opentelemetry::propagation::{Extractor, Injector, TextMapCompositePropagator};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};

/// The ratio's bits. Nothing is sampled until [`init`](crate::init) has set it.
static SAMPLE_RATIO: AtomicU64 = AtomicU64::new(0);

pub(crate) fn set_sample_ratio(ratio: f64) {
    SAMPLE_RATIO.store(ratio.to_bits(), Ordering::Relaxed);
}

/// The trace id of the call that is being served or made, in lower-case hex.
pub fn trace_id() -> Option<String> {
    Context::map_current(|cx| {
        let id = cx.span().span_context().trace_id();
        (id != TraceId::INVALID).then(|| id.to_string())
    })
}

/// Whether what happens now is to be recorded. Spans are built only then.
pub(crate) fn is_sampled() -> bool {
    Context::map_current(|cx| cx.span().span_context().is_sampled())
}

/// Whether a trace may begin with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begins {
    /// As often as the settings say.
    ByRatio,
    /// Never: the call is recorded only if its caller records it.
    Never,
}

/// The context to serve or make a call in: that of `parent`, or the beginning of a trace.
///
/// A trace that is to be recorded begins with a context that says "sampled" and has no ids, so that
/// the first span built in it is a root. One that is not has ids all the same, for logs and for
/// whoever is called.
pub(crate) fn decide(parent: Context, begins: Begins) -> Context {
    if parent.span().span_context().is_valid() {
        return parent;
    }
    let ratio = f64::from_bits(SAMPLE_RATIO.load(Ordering::Relaxed));
    let ids = if begins == Begins::ByRatio && rand::random::<f64>() < ratio {
        SpanContext::new(TraceId::INVALID, SpanId::INVALID, TraceFlags::SAMPLED, false, TraceState::NONE)
    } else {
        let (trace, span) = (TraceId::from(rand::random::<u128>().max(1)), SpanId::from(rand::random::<u64>().max(1)));
        SpanContext::new(trace, span, TraceFlags::default(), false, TraceState::NONE)
    };
    parent.with_remote_span_context(ids)
}

/// Reads `traceparent`, `tracestate` and `baggage`. What cannot be read is as if it were not there.
pub(crate) fn extract(headers: &HeaderMap) -> Context {
    if !headers.contains_key("traceparent") && !headers.contains_key("baggage") {
        return Context::new();
    }
    propagator().extract_with_context(&Context::new(), &Headers(headers))
}

/// Writes them for the current context.
pub(crate) fn inject(headers: &mut HeaderMap) {
    Context::map_current(|cx| propagator().inject_context(cx, &mut HeadersMut(headers)));
}

fn propagator() -> &'static TextMapCompositePropagator {
    static W3C: std::sync::OnceLock<TextMapCompositePropagator> = std::sync::OnceLock::new();
    W3C.get_or_init(|| {
        TextMapCompositePropagator::new(vec![
            Box::new(TraceContextPropagator::new()),
            Box::new(BaggagePropagator::new()),
        ])
    })
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(traceparent: &str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static("traceparent"), traceparent.parse().unwrap())])
    }

    #[test]
    fn a_callers_decision_is_followed_and_passed_on() {
        for traceparent in [PARENT, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"] {
            let _current = decide(extract(&headers(traceparent)), Begins::ByRatio).attach();
            assert_eq!(is_sampled(), traceparent == PARENT);
            assert_eq!(trace_id().as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
            let mut out = HeaderMap::new();
            inject(&mut out);
            assert_eq!(out["traceparent"], traceparent);
        }
    }

    #[test]
    fn what_cannot_be_read_begins_a_new_trace() {
        for traceparent in ["", "00", "00-0-0-0", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", "ff-x"] {
            let _current = decide(extract(&headers(traceparent)), Begins::ByRatio).attach();
            assert!(!is_sampled(), "{traceparent:?} was sampled although the ratio is 0");
            assert_ne!(trace_id(), None, "{traceparent:?}");
        }
    }
}
