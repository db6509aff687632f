//! The connection to a peer: one HTTP/2 connection over TCP, made when it is needed and shared.
//!
//! Not tonic's channel, which ends a call at the very moment that the peer was told: the peer's own
//! answer, which the margin is for, would come too late, and the peer would see a call that was
//! cancelled where it was late.

use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::Map;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use http_body_util::BodyExt as _;
use http_body_util::combinators::MapErr;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service;

use crate::Config;

type Answer = Result<Response<Incoming>, legacy::Error>;
type Mapped = Result<Response<ResponseBody>, Status>;

/// The body of a response; fails with the status that the caller is to see.
pub(crate) type ResponseBody = MapErr<Incoming, fn(hyper::Error) -> Status>;

/// The response of [`Connection`].
pub(crate) type ConnectionFuture = Map<ResponseFuture, fn(Answer) -> Mapped>;

/// A peer's address and the connection to it. Always ready: a call waits inside of its own deadline.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    client: Client<HttpConnector, Body>,
    authority: Authority,
}

impl Connection {
    pub(crate) fn new(config: &Config) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(config.connect_timeout));
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .http2_only(true)
            .http2_keep_alive_interval(config.keepalive_interval)
            .http2_keep_alive_timeout(config.keepalive_timeout)
            .build(connector);
        Self { client, authority: config.authority.clone() }
    }
}

impl Service<Request<Body>> for Connection {
    type Response = Response<ResponseBody>;
    type Error = Status;
    type Future = ConnectionFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> ConnectionFuture {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        self.client.request(request).map(mapped)
    }
}

fn mapped(answer: Answer) -> Mapped {
    match answer {
        Ok(response) => Ok(response.map(|body| body.map_err(lost as fn(hyper::Error) -> Status))),
        // No connection, or it broke before there was an answer.
        Err(error) => Err(unavailable("the peer cannot be reached", error)),
    }
}

/// A response that breaks off. A peer that resets the stream says why; one that is gone says nothing,
/// and then it was `UNAVAILABLE` (the gRPC specification of status codes).
fn lost(error: hyper::Error) -> Status {
    let status = Status::from_error(Box::new(error));
    if status.code() == Code::Unknown { unavailable("the peer has closed the connection", status) } else { status }
}

fn unavailable(what: &str, source: impl std::error::Error + Send + Sync + 'static) -> Status {
    let mut status = Status::unavailable(what);
    status.set_source(std::sync::Arc::new(source));
    status
}
