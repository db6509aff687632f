//! What tests need: real dependencies, running services, captured traces. Dev-dependency only.

mod binary;
mod collector;
mod peer;
pub mod postgres;
mod refusal;
mod service;

pub use binary::binary;
pub use collector::Collector;
pub use peer::Peer;
pub use refusal::Refusal;
pub use service::Service;
