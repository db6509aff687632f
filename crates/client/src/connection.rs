//! The connection to a peer: one HTTP/2 connection, made when it is needed and shared.
//!
//! Not tonic's channel, which ends a call at the very moment that the peer was told: the peer's own
//! answer, which the margin is for, would come too late, and the peer would see a call that was
//! cancelled where it was late.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Map};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use http_body_util::BodyExt as _;
use http_body_util::combinators::MapErr;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{Connected, Connection as Connecting};
use hyper_util::client::legacy::{self, Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service;

use crate::Config;
use crate::connect::{Connect, Io};

type Answer = Result<Response<Incoming>, legacy::Error>;
type Mapped = Result<Response<ResponseBody>, Status>;

/// The body of a response; fails with the status that the caller is to see.
pub(crate) type ResponseBody = MapErr<Incoming, fn(hyper::Error) -> Status>;

/// The response of [`Connection`].
pub(crate) type ConnectionFuture = Map<ResponseFuture, fn(Answer) -> Mapped>;

/// A peer's address and the connection to it. Always ready: a call waits inside of its own deadline.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    client: Client<Dial, Body>,
    authority: Authority,
}

impl Connection {
    pub(crate) fn new(config: &Config) -> Self {
        let dial = Dial {
            connector: Arc::clone(&config.connector),
            authority: config.authority.clone(),
            timeout: config.connect_timeout,
        };
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .http2_only(true)
            .http2_keep_alive_interval(config.keepalive_interval)
            .http2_keep_alive_timeout(config.keepalive_timeout)
            .build(dial);
        Self { client, authority: config.authority.clone() }
    }
}

/// Makes the connection.
#[derive(Debug, Clone)]
struct Dial {
    connector: Arc<dyn Connect>,
    authority: Authority,
    timeout: Duration,
}

impl Service<Uri> for Dial {
    type Response = TokioIo<Dialed>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TokioIo<Dialed>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (connecting, timeout) = (self.connector.connect(&self.authority), self.timeout);
        async move { Ok(TokioIo::new(Dialed(tokio::time::timeout(timeout, connecting).await??))) }.boxed()
    }
}

/// A connection as hyper's client wants it.
struct Dialed(Box<dyn Io>);

impl Connecting for Dialed {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Dialed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Dialed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
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
