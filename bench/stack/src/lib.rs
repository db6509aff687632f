//! Seawall's server beside tonic, and beside tonic with the usual crates.
//!
//! # Structure
//! `subjects.rs` are the servers that are compared; `size.rs` counts what they do for a call.

pub mod size;
mod subjects;

pub use subjects::{CLIENT_CORE, Collector, Flavour, MESSAGE, PATH, Programs, SERVER_CORE, Sampled, Subject};
