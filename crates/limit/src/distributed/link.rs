//! The connection to the store, and what happens when it is lost.
//!
//! Up: calls use the connection. It is lost with an error of the connection, or after three calls in a
//! row that were not answered in time. Away: calls do without; one task tries once a second and ends
//! when it is up again, or when nobody has the store any more.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, RedisError, RedisResult};
use tokio::time::{sleep, timeout};

/// A hiccup is not a loss.
const FAILURES_MAX: u32 = 3;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const KNOCK_EVERY: Duration = Duration::from_secs(1);

/// A connection that works, as far as we know.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) connection: MultiplexedConnection,
    failures: AtomicU32,
}

#[derive(Debug)]
pub(super) struct Link {
    client: Client,
    /// Held to look at it only; every use of it is a message to another machine.
    connected: Mutex<Option<Arc<Connected>>>,
}

impl Link {
    pub(super) async fn connect(client: Client) -> Arc<Self> {
        let first = open(&client).await;
        let link = Arc::new(Self { client, connected: Mutex::new(None) });
        match first {
            Ok(connected) => *link.slot() = Some(connected),
            Err(error) => link.lost(&error),
        }
        link
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<Connected>>> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` while the store is away.
    pub(super) fn connection(&self) -> Option<Arc<Connected>> {
        self.slot().clone()
    }

    pub(super) fn answered(&self, connected: &Connected) {
        if connected.failures.load(Ordering::Relaxed) > 0 {
            connected.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Counts a failure, and gives the connection up if it was one too many.
    pub(super) fn failed(self: &Arc<Self>, connected: &Arc<Connected>, error: &RedisError) {
        let failures = connected.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if failures < FAILURES_MAX && !error.is_connection_dropped() {
            return;
        }
        let mut slot = self.slot();
        // Calls that failed together lose it once.
        if slot.as_ref().is_some_and(|now| Arc::ptr_eq(now, connected)) {
            *slot = None;
            drop(slot);
            self.lost(error);
        }
    }

    fn address(&self) -> &ConnectionAddr {
        self.client.get_connection_info().addr()
    }

    fn lost(self: &Arc<Self>, error: &RedisError) {
        seawall_provenance::counted("limit.store_lost", &[]);
        tracing::warn!(store = %self.address(), %error, "the store of shared rate limits is away; each replica keeps to its part of them");
        tokio::spawn(knock(Arc::downgrade(self)));
    }
}

async fn open(client: &Client) -> RedisResult<Arc<Connected>> {
    // Calls have a timeout of their own.
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let opened = timeout(CONNECT_TIMEOUT, async {
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        // One that accepts and does not answer is not back.
        redis::cmd("PING").query_async::<()>(&mut connection).await?;
        RedisResult::Ok(connection)
    });
    let connection = opened.await.unwrap_or_else(|_| Err((redis::ErrorKind::Io, "no connection in time").into()))?;
    Ok(Arc::new(Connected { connection, failures: AtomicU32::new(0) }))
}

async fn knock(link: Weak<Link>) {
    loop {
        sleep(KNOCK_EVERY).await;
        let Some(link) = link.upgrade() else { return };
        if let Ok(connected) = open(&link.client).await {
            *link.slot() = Some(connected);
            seawall_provenance::counted("limit.store_back", &[]);
            tracing::info!(store = %link.address(), "the store of shared rate limits is back");
            return;
        }
    }
}
