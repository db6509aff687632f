//! The ids of a trace and a span.

use std::cell::RefCell;
use std::fmt;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

thread_local! {
    /// Seeded by the operating system, with 256 bits of state: ids have to be unique and need not be secret.
    static IDS: RefCell<SmallRng> = RefCell::new(SmallRng::from_rng(&mut rand::rng()));
}

fn random() -> u64 {
    IDS.with_borrow_mut(|ids| ids.next_u64())
}

/// The id of a trace; 0 is none. Shown as 32 digits of lower-case hex.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct TraceId(pub u128);

impl TraceId {
    /// A new one.
    pub fn random() -> Self {
        Self((u128::from(random()) << 64 | u128::from(random())).max(1))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The id of a span; 0 is none. Shown as 16 digits of lower-case hex.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct SpanId(pub u64);

impl SpanId {
    /// A new one.
    pub fn random() -> Self {
        Self(random().max(1))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where in which trace something happens, and whether the trace is recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; 0 if there is none.
    pub trace_id: TraceId,
    /// The span in which it happens; 0 at a root that is to be.
    pub span_id: SpanId,
    /// Whether spans of this trace are recorded, which was decided where it began.
    pub is_sampled: bool,
}

impl TraceContext {
    /// There is no trace.
    pub const NONE: Self = Self { trace_id: TraceId(0), span_id: SpanId(0), is_sampled: false };

    /// The beginning of a trace.
    pub fn root(is_sampled: bool) -> Self {
        Self { trace_id: TraceId::random(), span_id: SpanId::random(), is_sampled }
    }

    /// The beginning of a trace that is sampled once in `1 / ratio` times. The trace id decides
    /// (OpenTelemetry's `TraceIdRatioBased`), so no further number is drawn.
    pub fn root_by_ratio(ratio: f64) -> Self {
        let context = Self::root(false);
        // 53 bits, which is what an f64 holds.
        let drawn = (context.trace_id.0 as u64 >> 11) as f64 / (1_u64 << 53) as f64;
        Self { is_sampled: drawn < ratio, ..context }
    }

    /// A new span of the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span_id: SpanId::random(), ..self }
    }

    /// Whether there is a trace.
    pub fn is_valid(self) -> bool {
        self.trace_id != TraceId(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_full_length_and_differ() {
        let (one, other) = (TraceContext::root(true), TraceContext::root(true));
        assert_ne!(one.trace_id, other.trace_id);
        assert_ne!(one.span_id, one.child().span_id);
        assert_eq!(one.trace_id, one.child().trace_id);
        assert_eq!(TraceId(0xab).to_string(), format!("{}ab", "0".repeat(30)));
        assert_eq!(SpanId(0xab).to_string(), format!("{}ab", "0".repeat(14)));
    }

    #[test]
    fn a_ratio_is_kept() {
        let sampled = |ratio| (0..10_000).filter(|_| TraceContext::root_by_ratio(ratio).is_sampled).count();
        assert_eq!((sampled(0.0), sampled(1.0)), (0, 10_000));
        // Six standard deviations.
        assert!((2_240..=2_760).contains(&sampled(0.25)));
    }
}
