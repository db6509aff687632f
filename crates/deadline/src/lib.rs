//! Deadlines: parsed, enforced, shrunk and forwarded as `grpc-timeout`.
//!
//! A [`Deadline`] is a point in time that belongs to the call which a task serves. [`EnforceLayer`]
//! takes it from the request on the way in, ends the call when it passes (in the handler or in the
//! middle of a response stream) and makes it [`Deadline::current`] for everything the handler does.
//! On the way out, [`BoundLayer`] gives each call that the handler makes a deadline no later than
//! that, and [`ForwardLayer`] tells the peer what is left of it at each attempt. All are plain
//! [`tower`] layers and work on stock tonic.
//!
//! ```
//! use std::time::Duration;
//! use seawall_deadline::Deadline;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! Deadline::after(Duration::from_secs(2))
//!     .scope(async {
//!         let left = Deadline::current().expect("inside the scope").remaining();
//!         assert!(left <= Duration::from_secs(2));
//!     })
//!     .await;
//! assert_eq!(Deadline::current(), None);
//! # }
//! ```
//!
//! # Structure
//! `lib.rs` is the point in time and its scope; `header.rs` reads and writes `grpc-timeout`;
//! `enforce.rs` is the inbound layer, `bound.rs` and `forward.rs` the outer and the inner one of
//! what goes out; `bounded.rs` is what all of them wrap around a call.

mod bound;
mod bounded;
mod enforce;
mod forward;
mod header;

use std::future::Future;
use std::time::Duration;

use seawall_clock::now;
use tokio::task::futures::TaskLocalFuture;
use tokio::time::Instant;

pub use bound::{Bound, BoundLayer};
pub use bounded::{BoundedBody, ResponseFuture};
pub use enforce::{Enforce, EnforceLayer, noted};
pub use forward::{Forward, ForwardLayer};
pub use header::{GRPC_TIMEOUT, MalformedTimeout, format_timeout, parse_timeout};

tokio::task_local! {
    static CURRENT: Deadline;
}

/// The point in time after which nobody wants the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline `timeout` from now. A timeout beyond what the clock can tell is cut to 30 years.
    pub fn after(timeout: Duration) -> Self {
        const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
        Self(now() + timeout.min(FAR))
    }

    /// The deadline of the call that this task serves. A task that a handler spawns has none unless
    /// it is given one with [`scope`](Self::scope).
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|deadline| *deadline).ok()
    }

    /// What is left: zero once the deadline has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(now())
    }

    /// The point in time, for `tokio::time::timeout_at`.
    pub fn instant(self) -> Instant {
        self.0
    }

    /// Makes this the [`current`](Self::current) deadline wherever `future` is polled. It does not
    /// end the future.
    pub fn scope<F: Future>(self, future: F) -> TaskLocalFuture<Self, F> {
        CURRENT.scope(self, future)
    }
}
