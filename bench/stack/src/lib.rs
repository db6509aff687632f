//! Seawall's server beside tonic, and beside tonic with the usual crates.
//!
//! # Structure
//! `subjects.rs` are the servers that are compared. `size.rs` counts what they do for a call; `time.rs` measures the
//! processor time that calls take, `tail.rs` the calls that take longest, and `room.rs` memory and writes.

mod room;
pub mod size;
mod subjects;
mod tail;
pub mod time;

pub use subjects::{
    ANSWER_BYTES, CLIENT_CORE, Collector, Flavour, MESSAGE, PATH, Programs, SERVER_CORE, Sampled, Subject,
};
