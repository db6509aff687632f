//! WatchOrder.
//!
//! A change made in this process is announced to its watchers at once. One made by another process
//! is not, so each watcher also reads the state at an interval; that finds as well what was announced
//! too fast to be kept.

use std::sync::Arc;

use futures_util::stream::{self, Stream};
use seawall_error::{Error, Violations};
use seawall_proto::seawall::order::v1::{Order, OrderState, WatchOrderRequest, WatchOrderResponse};
use seawall_resource::{check_id, timestamp};
use tokio::sync::broadcast;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tonic::Status;

use crate::Orders;
use crate::errors::{DOMAIN, order_not_found};
use crate::stored::{self, small};

/// A watcher that is this many changes behind reads the state instead.
const CHANGES_MAX: usize = 1_024;

const SELECT: &str = "SELECT state, update_time_us FROM orders WHERE order_id = $1";

/// Tells the watchers in this process which orders have changed.
#[derive(Debug, Clone)]
pub(crate) struct Changes(broadcast::Sender<Arc<str>>);

impl Changes {
    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(CHANGES_MAX))
    }

    pub(crate) fn announce(&self, order_id: &str) {
        // It fails when nobody watches, which is fine.
        drop(self.0.send(order_id.into()));
    }
}

/// The order now, then at each change, until it is in a final state. Dropping the stream is all that
/// it takes to stop watching.
pub(crate) async fn watch(
    orders: Orders,
    request: WatchOrderRequest,
) -> Result<impl Stream<Item = Result<WatchOrderResponse, Status>> + Send, Error> {
    let mut violations = Violations::default();
    let order_id = check_id("order_id", &request.order_id, &mut violations);
    violations.into_result(DOMAIN)?;

    // Listens before it reads, or a change in between would wait for the interval.
    let changes = orders.changes.0.subscribe();
    let order = stored::read(&orders.sql, &order_id).await?;
    let mut interval = interval_at(Instant::now() + orders.watch_poll_interval, orders.watch_poll_interval);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watch = Watch { orders, changes, interval, order, is_sent: false };
    Ok(stream::try_unfold(watch, |mut watch| async {
        let next = watch.next().await?;
        Ok(next.map(|order| (WatchOrderResponse { order: Some(order) }, watch)))
    }))
}

struct Watch {
    orders: Orders,
    changes: broadcast::Receiver<Arc<str>>,
    interval: Interval,
    order: Order,
    is_sent: bool,
}

impl Watch {
    async fn next(&mut self) -> Result<Option<Order>, Error> {
        if self.is_sent && self.order.state() == OrderState::Cancelled {
            return Ok(None);
        }
        while self.is_sent {
            self.woken().await;
            self.is_sent = !self.read().await?;
        }
        self.is_sent = true;
        Ok(Some(self.order.clone()))
    }

    /// Waits until the order may have changed. The channel cannot close, because `self.orders` has
    /// the other end.
    async fn woken(&mut self) {
        loop {
            tokio::select! {
                change = self.changes.recv() => match change {
                    Ok(other) if *other != *self.order.order_id => {}
                    Ok(_) | Err(_) => return,
                },
                _ = self.interval.tick() => return,
            }
        }
    }

    /// Reads the state again; true if it is another. Nothing else of an order changes.
    async fn read(&mut self) -> Result<bool, Error> {
        let order_id = &self.order.order_id;
        let found = self.orders.sql.query_opt(SELECT, &[order_id.as_str().into()]).await?;
        let row = found.ok_or_else(|| order_not_found(order_id))?;
        let state = small(&row, "state")?;
        let is_other = state != self.order.state;
        self.order.state = state;
        self.order.update_time = Some(timestamp(row.get("update_time_us")?));
        Ok(is_other)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::StreamExt as _;
    use seawall_config::Reader;

    use super::*;
    use crate::Config;

    const ORDER: &str = "0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";

    /// With one order, and so far from the next look at the database that no test sees it.
    async fn orders(folder: &tempfile::TempDir) -> Orders {
        let url = format!("sqlite://{}/order.db", folder.path().display());
        let mut config = Config::read(&mut Reader::new("", "", [("SEAWALL_SQL_URL", url)]));
        config.watch_poll_interval = Duration::from_secs(3_600);
        let orders = Orders::open(&config, &seawall_policy::Policies::default()).await.unwrap();
        let order = Order { order_id: ORDER.into(), state: OrderState::Placed.into(), ..Default::default() };
        let mut transaction = orders.sql.begin().await.unwrap();
        stored::insert(&mut transaction, &order, 1).await.unwrap();
        transaction.commit().await.unwrap();
        orders
    }

    fn request() -> WatchOrderRequest {
        WatchOrderRequest { order_id: ORDER.into() }
    }

    #[tokio::test]
    async fn a_dropped_stream_holds_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let orders = orders(&folder).await;
        let mut watched = Box::pin(watch(orders.clone(), request()).await.unwrap());
        watched.next().await.unwrap().unwrap();
        assert_eq!(orders.changes.0.receiver_count(), 1);
        drop(watched);
        assert_eq!(orders.changes.0.receiver_count(), 0);
    }

    #[tokio::test]
    async fn a_watcher_that_is_too_far_behind_reads_the_state() {
        let folder = tempfile::tempdir().unwrap();
        let orders = orders(&folder).await;
        let mut watched = Box::pin(watch(orders.clone(), request()).await.unwrap());
        watched.next().await.unwrap().unwrap();
        orders.sql.execute("UPDATE orders SET state = 2", &[]).await.unwrap();
        // The order's own change is pushed out by those of others.
        orders.changes.announce(ORDER);
        for _ in 0..2 * CHANGES_MAX {
            orders.changes.announce("another");
        }
        let next = tokio::time::timeout(Duration::from_secs(10), watched.next()).await.unwrap();
        assert_eq!(next.unwrap().unwrap().order.unwrap().state(), OrderState::Cancelled);
        assert!(watched.next().await.is_none());
    }
}
