//! The serve loop: accepts connections, drives them, and drains them within the drain timeout.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use seawall_health::Health;
use seawall_shutdown::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::Service;

use crate::config::Config;
use crate::listener::Listener;

/// Above this the peer is not a gRPC client but a nuisance.
const HEADER_LIST_BYTES_MAX: u32 = 16 * 1024;
/// A peer that does not answer within the timeout is gone, and its calls with it.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Bounds on what a peer may reset before its calls were even accepted, or make us reset.
const PENDING_ACCEPT_RESETS_MAX: usize = 20;
const LOCAL_ERROR_RESETS_MAX: usize = 1_024;
/// How long to wait when the process has no file descriptors left for a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until the shutdown begins and the drain has ended.
pub(crate) async fn run<L, S, B>(mut listener: L, stack: S, config: &Config, health: &Health, shutdown: &Shutdown)
where
    L: Listener,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + 'static,
    B: http_body::Body<Data = bytes::Bytes, Error = tonic::Status> + Send + 'static,
{
    let http2 = protocol(config);
    let permits = Arc::new(Semaphore::new(config.connections_max));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&mut listener, &permits) => accepted,
            Some(_) = connections.join_next() => continue,
            () = shutdown.begun() => break,
        };
        let Some((stream, peer, permit)) = accepted else { continue };
        let connection = connection(http2.clone(), stream, peer, stack.clone(), shutdown.clone());
        connections.spawn(async move {
            connection.await;
            drop(permit);
        });
    }
    health.drain();
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(shutdown.drain_timeout(), drained).await.is_err() {
        tracing::warn!(connections = connections.len(), "the drain timeout has passed: closing connections");
        connections.shutdown().await;
    }
}

type Permit = tokio::sync::OwnedSemaphorePermit;

/// The next connection, once there is room for it. `None` if there was a passing fault.
async fn accept<L: Listener>(listener: &mut L, permits: &Arc<Semaphore>) -> Option<(L::Io, SocketAddr, Permit)> {
    let permit = permits.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, permit)),
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

fn protocol(config: &Config) -> http2::Builder<TokioExecutor> {
    let mut http2 = http2::Builder::new(TokioExecutor::new());
    http2
        .timer(TokioTimer::new())
        .max_concurrent_streams(config.concurrent_streams_max)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_pending_accept_reset_streams(PENDING_ACCEPT_RESETS_MAX)
        .max_local_error_reset_streams(LOCAL_ERROR_RESETS_MAX);
    http2
}

/// Drives one connection to its end. When the shutdown begins, the peer is told to go away and the
/// calls in flight go on.
async fn connection<I, S, B>(
    http2: http2::Builder<TokioExecutor>,
    stream: I,
    peer: SocketAddr,
    stack: S,
    shutdown: Shutdown,
) where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + 'static,
    B: http_body::Body<Data = bytes::Bytes, Error = tonic::Status> + Send + 'static,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        stack.clone().call(request)
    });
    let mut connection = pin!(http2.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.begun() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended");
    }
}
