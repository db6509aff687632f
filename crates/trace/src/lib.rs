//! The trace context of a call, in every poll of it, and what is noted about it meanwhile.
//!
//! A [`Scope`] is what belongs to a span while it runs: its [`TraceContext`], what travels with the
//! trace, and the events that happen in it. Whoever runs a span enters its scope around each poll. All
//! code in it finds the ids with [`TraceContext::current`], adds an event with [`note`] and an attribute with
//! [`describe`], which cost a comparison where nothing is recorded.
//!
//! Entering a scope moves it into a thread-local and back out: no allocation, no lock, and no reference
//! count, because a call is polled by one thread at a time.
//!
//! ```
//! use seawall_trace::{Scope, TraceContext, note};
//!
//! let mut scope = Scope::new(TraceContext::root(true)).recorded();
//! let trace_id = scope.enter(|| {
//!     note("limit.shed", Vec::new);
//!     TraceContext::current().trace_id
//! });
//! assert_eq!(scope.context().trace_id, trace_id);
//! assert_eq!(scope.take_notes().events[0].name, "limit.shed");
//! ```
//!
//! # Structure
//! `context.rs` is the ids; `scope.rs` what is current, and what is noted about it; `w3c.rs` reads and writes the headers.

mod context;
mod scope;
mod w3c;

pub use context::{SpanId, TraceContext, TraceId};
pub use scope::{ATTRIBUTES_MAX, EVENTS_MAX, Event, Notes, Scope, describe, note};
pub use w3c::{BAGGAGE, Carried, TRACEPARENT, TRACESTATE, extract, inject, parse_traceparent};
