//! The outbound stack and the channel.
//!
//! A [`Channel`] goes where generated clients take one. Every call through it has a deadline, a
//! client span if its trace is sampled, metrics, and the trace context in its headers.
//!
//! ```no_run
//! use seawall_client::{Channel, Config};
//! use seawall_config::Reader;
//! use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;
//!
//! # fn example() {
//! let mut reader = Reader::from_environment(None);
//! let config = Config::read(&mut reader.section("user"), "http://127.0.0.1:50051");
//! let users = UserServiceClient::new(Channel::new("user", &config));
//! # }
//! ```
//!
//! # Structure
//! `lib.rs` composes the stack; `connection.rs` is what it stands on; `connect.rs` reaches the
//! network; `config.rs` are the settings.

mod config;
mod connect;
mod connection;

use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use seawall_deadline::{BoundLayer, ForwardLayer};
use seawall_telemetry::{AttemptLayer, ClientLayer};
use tonic::Status;
use tonic::body::Body;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceBuilder};

pub use config::Config;
pub use connect::{Connect, Io, Tcp};
use connection::Connection;

/// A peer. Connects when it is first called, and again when the connection is lost. Clones share the
/// connection.
///
/// Dropping the future of a call resets its stream, so that the peer stops as well.
#[derive(Debug, Clone)]
pub struct Channel {
    stack: BoxCloneSyncService<Request<Body>, Response<Body>, Status>,
}

impl Channel {
    /// A channel to `peer`, the name that spans, metrics and errors use. Needs a tokio runtime.
    pub fn new(peer: &'static str, config: &Config) -> Self {
        let address = &config.authority;
        let timeout = config.timeout;
        let stack = ServiceBuilder::new()
            .map_response(|response: Response<_>| response.map(Body::new))
            // Outermost, so that a call that finds no time left is recorded as well.
            .layer(ClientLayer::new(peer, address.host(), address.port_u16().unwrap_or(80)))
            // One deadline over all attempts.
            .layer(BoundLayer::new(move |_: &str| timeout))
            .layer(AttemptLayer::new(peer))
            // Around the connection, so that waiting for one counts as well.
            .layer(ForwardLayer::new(config.deadline_margin))
            .service(Connection::new(config));
        Self { stack: BoxCloneSyncService::new(stack) }
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
