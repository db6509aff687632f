//! Circuit breakers: the adaptive throttle and the three-state breaker.
//!
//! A [`Breaker`] stands in front of one method of one peer, learns from how its calls end, and refuses
//! calls while the peer fails: a growing share of them, or all of them for a while. It is a plain state
//! machine that is told the time; [`BreakerLayer`] puts it around any [`tower`] service of gRPC calls,
//! unary or streaming.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use seawall_breaker::{Breaker, Config, Kind, ThreeStateConfig};
//! use seawall_classify::Outcome;
//!
//! let start = Instant::now();
//! let three_state = ThreeStateConfig { consecutive_failures: Some(3), ..ThreeStateConfig::default() };
//! let breaker = Breaker::try_new("user", "GetUser", Config { kind: Kind::ThreeState(three_state) }, start)?;
//! for _ in 0..3 {
//!     let permit = breaker.admit(start, 0.0).expect("still closed");
//!     breaker.record(start, permit, Outcome::Failure, Duration::from_millis(20));
//! }
//! let refusal = breaker.admit(start, 0.0).expect_err("three failures in a row");
//! assert_eq!(refusal.retry_after, Some(Duration::from_secs(5)));
//! # Ok::<(), seawall_breaker::ConfigError>(())
//! ```
//!
//! # Structure
//! `breaker.rs` is the breaker, around one of two policies: `adaptive.rs`, the throttle, and
//! `three_state.rs` with `three_state/half_open.rs`. `breaker_layer.rs` is the layer. `config.rs` has
//! the settings, `decision.rs` what is decided and told, `snapshot.rs` what is shown, `mark.rs` a
//! shared point in time and `sync.rs` the atomics.

mod adaptive;
mod breaker;
mod breaker_layer;
mod config;
mod decision;
mod mark;
mod snapshot;
mod sync;
mod three_state;

pub use breaker::{Breaker, Forced};
pub use breaker_layer::{BreakerLayer, BreakerService, Fallback, FallenBack, NoFallback, ResponseFuture, Ticket};
pub use config::{AdaptiveConfig, Config, ConfigError, Kind, ThreeStateConfig};
pub use decision::{Permit, Reason, Refusal, State};
pub use snapshot::{AdaptiveSnapshot, Snapshot, ThreeStateSnapshot};
