//! What travels with a call from hop to hop: its criticality, and whether it is a retry.
//!
//! [`InboundLayer`] reads both from a request and makes them [`Propagated::current`] for everything
//! that serves the call; [`OutboundLayer`] writes them on the calls that are made meanwhile. So a
//! shedder three hops down knows what the user asked for, and nobody retries what is a retry
//! already.
//!
//! ```
//! use seawall_propagation::{Criticality, Propagated};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let batch = Propagated { criticality: Some(Criticality::Sheddable), is_retry: false };
//! batch.scope(async { assert_eq!(Propagated::current(), batch) }).await;
//! assert_eq!(Propagated::current(), Propagated::default());
//! # }
//! ```
//!
//! # Structure
//! `lib.rs` is what travels and its scope; `inbound.rs` and `outbound.rs` are the layers; `caller.rs` is who
//! makes a call, and `peer.rs` from where, which do not travel.

mod caller;
mod inbound;
mod outbound;
mod peer;

use std::future::Future;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::task::futures::TaskLocalFuture;

pub use caller::Caller;
pub use inbound::{Inbound, InboundLayer, ScopedBody, ScopedFuture};
pub use outbound::{Outbound, OutboundLayer};
pub use peer::{peer, with_peer};

/// The header with the criticality of a call.
pub const CRITICALITY: HeaderName = HeaderName::from_static("seawall-criticality");
/// The header that marks what a retry has caused, further down than gRPC's own header reaches.
pub const RETRIED: HeaderName = HeaderName::from_static("seawall-retried");
/// How often a call has been attempted before (gRFC A6); absent on a first attempt.
pub const PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");

/// How much an answer matters when not everybody can have one (Google's SRE book, "Handling
/// overload"). Less critical is less.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Criticality {
    /// Batch work and prefetching: refused first.
    Sheddable,
    /// What users wait for.
    #[default]
    Default,
    /// What must not fail while anything works: refused last.
    Critical,
}

impl Criticality {
    /// All of them, the least critical first.
    pub const ALL: [Self; 3] = [Self::Sheddable, Self::Default, Self::Critical];

    /// The name, as in the header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sheddable => "sheddable",
            Self::Default => "default",
            Self::Critical => "critical",
        }
    }

    /// The criticality of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|criticality| criticality.as_str() == name)
    }
}

tokio::task_local! {
    static CURRENT: Propagated;
}

/// What a call hands on to the calls that it causes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Propagated {
    /// How critical the call is; `None` where nobody has said so yet.
    pub criticality: Option<Criticality>,
    /// Whether the call is a retry, or serves one.
    pub is_retry: bool,
}

impl Propagated {
    /// That of the call which this task serves. A task that a handler spawns has none unless it is
    /// given one with [`scope`](Self::scope).
    pub fn current() -> Self {
        CURRENT.try_with(|current| *current).unwrap_or_default()
    }

    /// The criticality, [`Criticality::Default`] where nobody has said so.
    pub fn criticality(self) -> Criticality {
        self.criticality.unwrap_or_default()
    }

    /// Makes this the [`current`](Self::current) one wherever `future` is polled.
    pub fn scope<F: Future>(self, future: F) -> TaskLocalFuture<Self, F> {
        CURRENT.scope(self, future)
    }

    /// What the headers of a request say. A criticality that nobody knows is as if it were not there.
    pub fn read(headers: &HeaderMap) -> Self {
        let criticality =
            headers.get(CRITICALITY).and_then(|value| value.to_str().ok()).and_then(Criticality::from_name);
        let attempts = headers.get(PREVIOUS_ATTEMPTS).and_then(|value| value.to_str().ok());
        let is_attempted = attempts.and_then(|text| text.parse::<u32>().ok()).is_some_and(|attempts| attempts > 0);
        Self { criticality, is_retry: is_attempted || headers.contains_key(RETRIED) }
    }

    /// Writes it on the headers of a request.
    pub fn write(self, headers: &mut HeaderMap) {
        if let Some(criticality) = self.criticality {
            headers.insert(CRITICALITY, HeaderValue::from_static(criticality.as_str()));
        }
        if self.is_retry {
            headers.insert(RETRIED, HeaderValue::from_static("1"));
        }
    }

    /// Makes this the current one in `f`.
    fn enter<T>(self, f: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, f)
    }
}

#[cfg(test)]
mod tests;
