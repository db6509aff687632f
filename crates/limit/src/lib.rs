//! Limits: rates, concurrency, and shedding by criticality.
//!
//! A refused call is told when to come back, by what the limit knows: the time of its token, or how
//! long the work ahead of it takes.
//!
//! ```
//! use std::sync::Arc;
//! use seawall_limit::{Key, RateConfig, RateLayer, RateLimiter};
//!
//! # fn main() -> Result<(), seawall_limit::ConfigError> {
//! let config =
//!     RateConfig { rate_per_second: 50.0, burst: 10, key: vec![Key::Method, Key::Caller], ..RateConfig::default() };
//! let now = std::time::Instant::now();
//! let orders = Arc::new(RateLimiter::try_new("orders", config, None, now)?);
//! let layer = RateLayer::new(move |path: &str| path.starts_with("/order.").then(|| Arc::clone(&orders)));
//! # Ok(())
//! # }
//! ```
//!
//! # Structure
//! Rates: `gcra.rs` is the arithmetic of a bucket that keeps its promises; `token_bucket.rs` and
//! `leaky_bucket.rs` are the two policies of it, `keyed.rs` the bounded table with a bucket for each
//! key, `distributed.rs` the same bucket on Redis. `rate.rs` is the limiter that a service configures
//! (`rate/config.rs`, `rate/key.rs`), and `rate_layer.rs` the layer around it.
//!
//! Concurrency: `concurrency.rs` is the limiter, `concurrency/admission.rs` who gets in, waits or is
//! refused, `concurrency/algorithm.rs` what finds the limit, and `concurrency_layer.rs` the layer.
//!
//! Processors: `shed.rs` sheds calls while they are busy, `shed/cpu.rs` knows how busy they are, and
//! `shed_layer.rs` is the layer.

mod concurrency;
mod concurrency_layer;
mod config_error;
mod distributed;
mod gcra;
mod keyed;
mod leaky_bucket;
mod rate;
mod rate_layer;
mod shed;
mod shed_layer;
mod sync;
mod token_bucket;

pub use concurrency::{
    AimdConfig, Algorithm, ConcurrencyConfig, ConcurrencyLimiter, ConcurrencySnapshot, FixedConfig, Gradient2Config,
    Permit, Shed, VegasConfig, Verdict, Waiter,
};
pub use concurrency_layer::{Concurrency, ConcurrencyFuture, ConcurrencyLayer, ConcurrencyTicket};
pub use config_error::{ConfigError, Mistake};
pub use distributed::{Store, StoreConfig};
pub use gcra::Ask;
pub use leaky_bucket::{Decision, LeakyBucket, Wait};
pub use rate::{CallKey, Key, RateConfig, RateKind, RateLimiter, RateSnapshot};
pub use rate_layer::{Rate, RateFuture, RateLayer};
pub use shed::{CpuLoad, CpuPermit, CpuSampler, CpuShed, CpuShedder, CpuShedderConfig, CpuShedderSnapshot};
pub use shed_layer::{ShedFuture, ShedLayer, ShedTicket, Shedding};
pub use token_bucket::{Refused, TokenBucket};
