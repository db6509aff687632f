//! The outbound stack and the channel.
//!
//! A [`Channel`] goes where generated clients take one. Every call through it has a deadline, goes to
//! the endpoint that is best off, is retried or hedged if its contract says so, stands behind a
//! breaker, and has a client span if its trace is sampled, metrics, and the trace context in its
//! headers.
//!
//! ```no_run
//! use seawall_client::{Channel, Config};
//! use seawall_config::Reader;
//! use seawall_policy::{Contract, Policies};
//! use seawall_proto::FILE_DESCRIPTOR_SET;
//! use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;
//!
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let mut reader = Reader::from_environment(None);
//! let config = Config::read(&mut reader.section("user"), "http://127.0.0.1:50051");
//! let policies = Policies::try_new(Contract::try_new(&[FILE_DESCRIPTOR_SET])?, None)?;
//! let users = UserServiceClient::new(Channel::new("user", &config, &policies));
//! # Ok(())
//! # }
//! ```
//!
//! # Structure
//! `stack.rs` is the table of contents of what happens to a call, outermost first; `hold.rs` stands around it;
//! `retries.rs`, `breakers.rs` and `endpoint.rs` have what its layers ask; `connection.rs` is what it stands on, with
//! `answer.rs`;
//! `resend.rs` makes again what has had no effect, `wait.rs` has calls wait for a connection, `tie.rs` ends
//! requests with their answers; `discovery.rs` says where endpoints come from, `signals.rs` what it and calls
//! that wait hear of them; `connect.rs` is the seam to the network, `secure.rs` the TLS over it;
//! `config.rs` are the settings.

mod answer;
mod breakers;
mod config;
mod connect;
mod connection;
mod discovery;
mod endpoint;
mod hold;
mod resend;
mod retries;
mod secure;
mod signals;
mod stack;
mod tie;
mod wait;

use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use seawall_balance::Discover;
use seawall_policy::Policies;
use tonic::Status;
use tonic::body::Body;
use tower::Service;

pub use config::{Addresses, Config};
pub use connect::{Connect, Io, Tcp};
use discovery::Discovery;
pub use secure::Tls;
use stack::Stack;
pub use wait::WaitForReady;

/// A peer. Connects to its endpoints when they are first called, and again when a connection is lost.
/// Clones share everything.
///
/// Dropping the future of a call resets its stream, so that the peer stops as well.
#[derive(Debug, Clone)]
pub struct Channel {
    stack: Stack,
}

impl Channel {
    /// A channel to `peer`, the name that spans, metrics and errors use. Needs a tokio runtime.
    pub fn new(peer: &'static str, config: &Config, policies: &Policies) -> Self {
        Self::discovered(peer, config, policies, Discovery::new(config))
    }

    /// The same with endpoints from another source, such as a registry, instead of the addresses in the
    /// settings; the first of those is still the name by which they are called.
    pub fn discovered(peer: &'static str, config: &Config, policies: &Policies, discover: impl Discover) -> Self {
        Self { stack: stack::stack(peer, config, policies, discover) }
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.stack.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.stack.call(request)
    }
}
