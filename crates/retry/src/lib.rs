//! Retries, budgets, push-back, hedging: gRFC A6, on stock tonic and tower.
//!
//! A call that failed is made again by its method's [`RetryPolicy`], or is made a second time while
//! it takes long by its [`HedgePolicy`]. Both are state machines that are told what happened, when,
//! and a random number; [`RetryLayer`] and [`HedgeLayer`] are thin adapters around them. What all
//! methods of a peer may do together is its [`Allowance`]: A6's tokens, a retry budget, and the
//! memory for requests that may have to be sent again.
//!
//! Only a method that is declared idempotent, or a call with an idempotency key, is made twice; a
//! policy for another method cannot be built.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::{Duration, Instant};
//! use seawall_retry::{Allowance, AllowanceConfig, Decision, Ended, Idempotency, RetryConfig, RetryPolicy};
//! use tonic::Code;
//!
//! # fn main() -> Result<(), seawall_retry::ConfigError> {
//! let now = Instant::now();
//! let peer = Arc::new(Allowance::try_new("user", &AllowanceConfig::default(), now)?);
//! let policy = RetryPolicy::try_new("/user.v1.Users/Get", &RetryConfig::default(), Idempotency::NoSideEffects, peer)?;
//!
//! let mut call = policy.begin(now, None, false);
//! let ended = Ended { code: Code::Unavailable, pushback: None, was_sent: true };
//! let decision = policy.decide(&mut call, ended, true, now, 0.5);
//! assert_eq!(decision, Decision::Retry { after: Duration::from_millis(50), is_transparent: false });
//! # Ok(())
//! # }
//! ```
//!
//! # Differences from gRFC A6
//! - More than five attempts are an error of the settings, and not cut to five.
//! - There is a [`Budget`] beside the tokens, and no retry of what serves a retry (the chain stop).
//! - A retry that could not begin before the deadline is not waited for.
//! - Methods without a policy pass untouched: their successes give no tokens back, and who wants them to
//!   be retried transparently does so with an [`Original`].
//! - A transparent retry is made once, whether the attempt never left the process or the peer
//!   refused its stream; A6 makes the former until the deadline.
//! - A hedge that the tokens or the budget refuse is the last one of its call.
//! - Hedges are not told which endpoints the others went to. All but the first carry
//!   `grpc-previous-rpc-attempts`, by which a balancer can tell.
//!
//! # Structure
//! `policy.rs` decides on retries, with `backoff.rs`, `pushback.rs`, `idempotency.rs` and `ended.rs`
//! (what the end of an attempt was); `hedge.rs` decides on hedges, with `latency.rs`. `allowance.rs`
//! is what a peer's methods share: `throttle.rs` and `budget.rs`. `retry_layer.rs` and
//! `hedge_layer.rs` are the layers, `replay.rs` the request that can be sent again, `body.rs` the
//! response, `metrics.rs` the instruments of gRFC A96.

mod allowance;
mod backoff;
mod body;
mod budget;
mod codes;
mod ended;
mod error;
mod hedge;
mod hedge_layer;
mod idempotency;
mod latency;
mod metrics;
mod policy;
mod pushback;
mod replay;
mod retry_layer;
mod sync;
mod throttle;

pub use allowance::{Allowance, AllowanceConfig, AllowanceSnapshot};
pub use backoff::Backoff;
pub use body::RetriedBody;
pub use budget::{Budget, BudgetConfig};
pub use ended::{Ended, NotSent, Stop};
pub use error::ConfigError;
pub use hedge::{HedgeConfig, HedgeDecision, HedgeDelay, HedgePolicy, HedgeSnapshot, Hedges};
pub use hedge_layer::{Hedge, HedgeFuture, HedgeLayer};
pub use idempotency::{IDEMPOTENCY_KEY, Idempotency};
pub use policy::{Attempts, Decision, RetryConfig, RetryPolicy, RetrySnapshot};
pub use pushback::{GRPC_RETRY_PUSHBACK_MS, Pushback};
pub use replay::{Original, Replayed};
pub use retry_layer::{Retry, RetryFuture, RetryLayer};
pub use throttle::{Throttle, ThrottleConfig};
