//! Limits: rates, concurrency, and shedding by criticality.
//!
//! # Structure
//! Rates: `rate.rs` is the limiter that a service configures, `rate/config.rs` its settings;
//! `token_bucket.rs` and `leaky_bucket.rs` are the two theories, `keyed.rs` the bounded table with a
//! bucket for each caller, `distributed.rs` the same bucket on Redis, and `rate_layer.rs` the layer
//! around all of them.
