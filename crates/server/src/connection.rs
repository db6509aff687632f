//! One connection from its handshake to its end.
//!
//! It ends when the peer has gone; when the server shuts down, when it is old, or when nothing was
//! called for long, each with a GOAWAY after which calls in flight go on (gRFC A9); and at once when the
//! peer does not behave (gRFC A8).

mod answered;
mod conduct;
mod streams;
mod watched;

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use opentelemetry::KeyValue;
use seawall_auth::tls::{Acceptor, PeerIdentity};
use seawall_shutdown::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep};
use tonic::codegen::StdError;
use tower::Service;

use crate::config::Config;

use conduct::Conduct;
use streams::Streams;
use watched::Shared;

/// Bounds on what a peer may reset before its calls were even accepted, or make us reset.
const PENDING_ACCEPT_RESETS_MAX: usize = 20;
const LOCAL_ERROR_RESETS_MAX: usize = 1_024;
/// What is kept of the answer of a call whose caller does not read it.
const SEND_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// How much sooner or later than its age a connection ends, so that those that began together do not
/// end together.
const AGE_JITTER: f64 = 0.1;
/// How long a peer that calls nothing has to see that it was told to go away.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(10);

/// Drives one connection to its end, whose peer has yet to prove who it is. Here rather than where
/// connections are accepted, so that no peer waits for another one's handshake.
pub(crate) async fn drive_secured<I, S, B>(
    io: I,
    peer: SocketAddr,
    acceptor: &Acceptor,
    stack: S,
    config: &Config,
    shutdown: Shutdown,
) where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + 'static,
    B: http_body::Body<Data = bytes::Bytes, Error = tonic::Status> + Send + 'static,
{
    let accepted = tokio::select! {
        accepted = acceptor.accept(io, peer, config.handshake_timeout) => accepted,
        // Nothing was called yet.
        () = shutdown.begun() => return,
    };
    // One that has failed was told by who knows why.
    if let Ok((io, identity)) = accepted {
        drive(io, peer, identity, stack, config, shutdown).await;
    }
}

/// Drives one connection to its end. Requests are told whose it is.
pub(crate) async fn drive<I, S, B>(
    io: I,
    peer: SocketAddr,
    identity: Option<PeerIdentity>,
    stack: S,
    config: &Config,
    shutdown: Shutdown,
) where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + 'static,
    B: http_body::Body<Data = bytes::Bytes, Error = tonic::Status> + Send + 'static,
{
    let (cut, streams) =
        (Arc::new(OnceLock::new()), Streams::new(peer, config.message_timeout, config.stream_stall_timeout));
    let conduct = Conduct::new(config.ping_interval_min, config.concurrent_streams_max, Instant::now());
    let io = Shared::new(io, conduct, config.handshake_timeout, Arc::clone(&cut));
    // Calls of one connection begin one after the other, so that none needs a copy.
    let stack = RefCell::new(stack);
    let service = service_fn(move |mut request: Request<Incoming>| {
        if let Some(identity) = &identity {
            request.extensions_mut().insert(identity.clone());
        }
        streams::begin(peer, || stack.borrow_mut().call(request))
    });
    let mut connection = pin!(protocol(config, streams.clone()).serve_connection(TokioIo::new(io.clone()), service));
    let ended = tokio::select! {
        ended = sent(connection.as_mut(), &io) => ended,
        grace = grace(&streams, config, &shutdown) => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = sent(connection, &io) => ended,
                () = over(grace, &shutdown) => Ok(()),
            }
        }
    };
    if let Some(cut) = cut.get() {
        seawall_provenance::counted("connection.cut", &[KeyValue::new("reason", cut.name())]);
        tracing::debug!(%peer, reason = cut.name(), "connection cut");
    } else if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

/// Drives a connection, and sends what it has written whenever it waits.
async fn sent<I: AsyncRead + AsyncWrite + Unpin>(
    mut connection: Pin<&mut impl Future<Output = hyper::Result<()>>>,
    io: &Shared<I>,
) -> Result<(), StdError> {
    poll_fn(|cx| {
        let polled = connection.as_mut().poll(cx);
        // If it does not go on, it goes on when the peer has room: this task is woken then.
        if let Poll::Ready(Err(error)) = io.poll_send(cx) {
            return Poll::Ready(Err(error.into()));
        }
        polled.map_err(Into::into)
    })
    .await
}

fn protocol(config: &Config, streams: Streams) -> http2::Builder<Streams> {
    let mut http2 = http2::Builder::new(streams);
    http2
        .timer(TokioTimer::new())
        .max_concurrent_streams(config.concurrent_streams_max)
        .max_header_list_size(config.header_list_bytes_max)
        .max_send_buf_size(SEND_BUFFER_BYTES_MAX)
        .keep_alive_interval(config.keepalive_interval)
        .keep_alive_timeout(config.keepalive_timeout)
        .max_pending_accept_reset_streams(PENDING_ACCEPT_RESETS_MAX)
        .max_local_error_reset_streams(LOCAL_ERROR_RESETS_MAX);
    http2
}

/// How long the calls of a connection may go on once it is to end: until the drain timeout where `None`.
async fn grace(streams: &Streams, config: &Config, shutdown: &Shutdown) -> Option<Duration> {
    let age = config.connection_age_max.mul_f64(1.0 + AGE_JITTER * (2.0 * fastrand::f64() - 1.0));
    tokio::select! {
        () = shutdown.begun() => None,
        () = sleep(age) => Some(config.connection_age_grace),
        () = streams.idle(config.connection_idle_timeout) => Some(GOODBYE_TIMEOUT),
    }
}

/// Returns when the time is over. A drain that has begun leaves calls what is left to it.
async fn over(grace: Option<Duration>, shutdown: &Shutdown) {
    if let Some(grace) = grace {
        sleep(grace).await;
        if !shutdown.has_begun() {
            return;
        }
    }
    std::future::pending::<()>().await;
}
