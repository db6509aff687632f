//! The serve loop: accepts connections, has them driven, and drains them within the drain timeout.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use seawall_auth::tls::Acceptor;
use seawall_health::Health;
use seawall_shutdown::Shutdown;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::Service;

use crate::config::Config;
use crate::connection;
use crate::listener::Listener;

/// How long to wait when the process has no file descriptors left for a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until the shutdown begins and the drain has ended; by TLS alone, if there is an acceptor.
pub(crate) async fn run<L, S, B>(
    mut listener: L,
    acceptor: Option<Acceptor>,
    stack: S,
    config: &Config,
    health: &Health,
    shutdown: &Shutdown,
) where
    L: Listener,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + 'static,
    B: http_body::Body<Data = bytes::Bytes, Error = tonic::Status> + Send + 'static,
{
    let config = Arc::new(config.clone());
    let permits = Arc::new(Semaphore::new(config.connections_max));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            // First, because whoever comes now can go to a process that has taken over the listener.
            biased;
            () = shutdown.begun() => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&mut listener, &permits) => accepted,
        };
        let Some((stream, peer, permit)) = accepted else { continue };
        let (stack, config, shutdown) = (stack.clone(), Arc::clone(&config), shutdown.clone());
        let acceptor = acceptor.clone();
        connections.spawn(async move {
            match acceptor {
                Some(acceptor) => connection::drive_secured(stream, peer, &acceptor, stack, &config, shutdown).await,
                None => connection::drive(stream, peer, None, stack, &config, shutdown).await,
            }
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
