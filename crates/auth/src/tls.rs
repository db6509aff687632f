//! TLS between services, and the identities of both ends.

mod identity;

pub use identity::{NotSpiffe, SpiffeId};
