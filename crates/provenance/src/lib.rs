//! Why a call was treated as it was: span events, counters, live state.
//!
//! A policy that sheds, rejects, retries or ejects says so once, by [`decided`]: the span of the call
//! gets an event with the numbers that caused it, if the call is sampled, and the counter
//! `seawall.decisions` counts it. A transition, which is a log line and by it an event already, is
//! only [`counted`]. What the policies of this process know right now is [`published`](publish) by
//! whoever owns them, and read by the admin page.
//!
//! ```
//! use opentelemetry::KeyValue;
//!
//! let numbers = || vec![KeyValue::new("limit", 20), KeyValue::new("in_flight", 20)];
//! seawall_provenance::decided("limit.shed", &[KeyValue::new("criticality", "default")], numbers);
//! ```
//!
//! # Structure
//! `lib.rs` is what happens to a decision; `live.rs` the state that can be looked at and commanded.

mod live;

use std::sync::OnceLock;

use opentelemetry::metrics::Counter;
use opentelemetry::{KeyValue, global};
use seawall_trace::note;

pub use live::{CommandError, Live, command, publish, snapshot};

/// Notes a decision about the call that is being served or made.
///
/// `decision` is a name such as `limit.shed`; `labels` tell the decisions of one name apart and have
/// few values; `numbers` are asked for only if the call is sampled, and are those that caused it.
pub fn decided(decision: &'static str, labels: &[KeyValue], numbers: impl FnOnce() -> Vec<KeyValue>) {
    note(decision, || {
        let mut attributes = labels.to_vec();
        attributes.extend(numbers());
        attributes
    });
    counted(decision, labels);
}

/// Counts a decision that has been told otherwise, by a log line.
pub fn counted(decision: &'static str, labels: &[KeyValue]) {
    static DECISIONS: OnceLock<Counter<u64>> = OnceLock::new();
    let decisions = DECISIONS.get_or_init(|| {
        global::meter("seawall.policy")
            .u64_counter("seawall.decisions")
            .with_unit("{decision}")
            .with_description("What the policies decided: sheds, rejections, retries, hedges, ejections, transitions.")
            .build()
    });
    let mut attributes = Vec::with_capacity(labels.len() + 1);
    attributes.push(KeyValue::new("decision", decision));
    attributes.extend_from_slice(labels);
    decisions.add(1, &attributes);
}
