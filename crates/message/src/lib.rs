//! What a message of gRPC may be: its size, and how many there are.
//!
//! A body is a sequence of messages, each behind a prefix of five bytes that tells its length. Here
//! only the prefixes are read, as they pass: a message that is too large is refused with
//! `RESOURCE_EXHAUSTED` before any of it is kept, and more or fewer than one message where the method has
//! one is `UNIMPLEMENTED`, as gRPC's status codes say. What tonic itself does with both is neither.
//!
//! [`ServerLayer`] judges the requests of a server, [`ClientLayer`] the answers to a client; both are
//! plain [`tower`] layers and work on stock tonic. Neither allocates.
//!
//! ```
//! use seawall_message::{Expected, ServerLayer};
//!
//! // Every method takes one message of at most a mebibyte.
//! let layer = ServerLayer::new(|_path: &str| Expected { bytes_max: 1 << 20, is_stream: false });
//! ```
//!
//! # Structure
//! `prefixes.rs` counts and measures messages, `body.rs` is a body in which that is done, `layers.rs`
//! puts it around requests and answers.

mod body;
mod layers;
mod prefixes;

pub use body::MessageBody;
pub use layers::{Client, ClientFuture, ClientLayer, Server, ServerLayer};
pub use prefixes::Expected;
