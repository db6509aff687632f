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

use http::{Request, Response};
use seawall_deadline::{BoundedBody, Forward, ForwardLayer};
use seawall_telemetry::{Client, ClientLayer, RecordedBody, ResponseFuture};
use tonic::Status;
use tonic::body::Body;
use tower::{Service, ServiceBuilder};

pub use config::Config;
pub use connect::{Connect, Io, Tcp};
use connection::{Connection, ConnectionFuture, ResponseBody};

/// A peer. Connects when it is first called, and again when the connection is lost. Clones share the
/// connection.
///
/// Dropping the future of a call resets its stream, so that the peer stops as well.
#[derive(Debug, Clone)]
pub struct Channel {
    stack: Client<Forward<Connection>>,
}

impl Channel {
    /// A channel to `peer`, the name that spans, metrics and errors use. Needs a tokio runtime.
    pub fn new(peer: &'static str, config: &Config) -> Self {
        let address = &config.authority;
        let stack = ServiceBuilder::new()
            // Outermost, so that a call that finds no time left is recorded as well.
            .layer(ClientLayer::new(peer, address.host(), address.port_u16().unwrap_or(80)))
            // Around the connection, so that waiting for one counts as well.
            .layer(ForwardLayer::new(config.timeout, config.deadline_margin))
            .service(Connection::new(config));
        Self { stack }
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<RecordedBody<BoundedBody<ResponseBody>>>;
    type Error = Status;
    type Future = ResponseFuture<seawall_deadline::ResponseFuture<ConnectionFuture>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.stack.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.stack.call(request)
    }
}
