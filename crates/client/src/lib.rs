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
//! `lib.rs` composes the stack; `config.rs` are the settings.

mod config;

use std::error::Error as StdError;
use std::task::{Context, Poll};

use http::{Request, Response};
use seawall_deadline::{BoundedBody, Forward, ForwardLayer};
use seawall_error::Error;
use seawall_telemetry::{Client, ClientLayer, RecordedBody, ResponseFuture};
use tonic::Status;
use tonic::body::Body;
use tonic::transport::{self, Endpoint};
use tower::util::{MapResult, Oneshot};
use tower::{Service, ServiceBuilder, ServiceExt as _};

pub use config::Config;

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
        let address = &config.address;
        let stack = ServiceBuilder::new()
            // Outermost, so that a call that finds no time left is recorded as well.
            .layer(ClientLayer::new(peer, address.host().unwrap_or_default(), address.port_u16().unwrap_or(80)))
            // Around the connection, so that waiting for one counts as well.
            .layer(ForwardLayer::new(config.timeout, config.deadline_margin))
            .service(Connection::new(config));
        Self { stack }
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<RecordedBody<BoundedBody<Body>>>;
    type Error = transport::Error;
    type Future = ResponseFuture<seawall_deadline::ResponseFuture<ConnectionFuture>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.stack.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.stack.call(request)
    }
}

/// tonic's channel, always ready: a call waits for its turn inside of its own deadline.
#[derive(Debug, Clone)]
struct Connection(MapResult<transport::Channel, fn(Answer) -> Answer>);

type Answer = Result<Response<Body>, transport::Error>;
type ConnectionFuture = Oneshot<MapResult<transport::Channel, fn(Answer) -> Answer>, Request<Body>>;

impl Connection {
    fn new(config: &Config) -> Self {
        let endpoint = Endpoint::from(config.address.clone())
            .connect_timeout(config.connect_timeout)
            .http2_keep_alive_interval(config.keepalive_interval)
            .keep_alive_timeout(config.keepalive_timeout)
            .tcp_nodelay(true);
        Self(MapResult::new(endpoint.connect_lazy(), late_is_not_cancelled))
    }
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Body>;
    type Error = transport::Error;
    type Future = ConnectionFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.0.clone().oneshot(request)
    }
}

/// tonic's channel reads the time that the peer is told, ends the call when it has passed, and calls
/// that `CANCELLED`. It is sooner than the deadline here by the margin, so this is what callers see.
fn late_is_not_cancelled(answer: Answer) -> Answer {
    match answer {
        Err(error) if is_late(&error) => Ok(Status::from(Error::deadline_exceeded()).into_http()),
        answer => answer,
    }
}

fn is_late(error: &(dyn StdError + 'static)) -> bool {
    error.is::<tonic::TimeoutExpired>() || error.source().is_some_and(is_late)
}
