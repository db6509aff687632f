//! Whether a call is recorded: decided upon once, where its trace begins.

use std::sync::atomic::{AtomicU64, Ordering};

use seawall_trace::TraceContext;

/// The ratio's bits. Nothing is sampled until [`init`](crate::init) has set it.
static SAMPLE_RATIO: AtomicU64 = AtomicU64::new(0);

pub(crate) fn set_sample_ratio(ratio: f64) {
    SAMPLE_RATIO.store(ratio.to_bits(), Ordering::Relaxed);
}

/// The trace id of the call that is being served or made, in lower-case hex.
pub fn trace_id() -> Option<String> {
    let context = TraceContext::current();
    context.is_valid().then(|| context.trace_id.to_string())
}

/// Whether a trace may begin with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begins {
    /// As often as the settings say.
    ByRatio,
    /// Never: the call is recorded only if its caller records it.
    Never,
}

/// The beginning of a trace. One that is not recorded has ids all the same, for logs and for whoever is
/// called.
pub(crate) fn begin(begins: Begins) -> TraceContext {
    match begins {
        Begins::ByRatio => TraceContext::root_by_ratio(f64::from_bits(SAMPLE_RATIO.load(Ordering::Relaxed))),
        Begins::Never => TraceContext::root(false),
    }
}
