//! The order service on stock tonic: its own files, on the server that tonic generates, its transport and its channel,
//! and nothing around them.
//!
//! What the files know as `seawall_proto` is the contract as tonic generates it, and `seawall_client::Channel` is
//! tonic's. Those that are skipped have tests beside them, which rustfmt does not find from here.

extern crate stock_shop as seawall_client;
extern crate stock_shop as seawall_proto;

#[path = "../../../../../services/order/src/cancel.rs"]
mod cancel;
#[path = "../../../../../services/order/src/errors.rs"]
mod errors;
#[rustfmt::skip]
#[path = "../../../../../services/order/src/fields.rs"]
mod fields;
#[path = "../../../../../services/order/src/get.rs"]
mod get;
#[path = "../../../../../services/order/src/idempotency.rs"]
mod idempotency;
#[path = "../../../../../services/order/src/list.rs"]
mod list;
#[rustfmt::skip]
#[path = "../../../../../services/order/src/money.rs"]
mod money;
#[path = "../../../../../services/order/src/place.rs"]
mod place;
#[path = "../../../../../services/order/src/service.rs"]
mod service;
#[path = "../../../../../services/order/src/stored.rs"]
mod stored;
#[path = "../../../../../services/order/src/watch.rs"]
mod watch;

use std::time::Duration;

use seawall_pool::{Migration, Sql};
use stock_shop::Channel;
use stock_shop::seawall::order::v1::order_service_server::OrderServiceServer;
use stock_shop::seawall::user::v1::user_service_client::UserServiceClient;
use tonic::transport::Server;

use watch::Changes;

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "orders",
    sql: include_str!("../../../../../services/order/migrations/0001_orders.sql"),
}];

/// As the service has it.
#[derive(Clone)]
struct Orders {
    sql: Sql,
    users: UserServiceClient<Channel>,
    changes: Changes,
    watch_poll_interval: Duration,
}

fn main() -> anyhow::Result<()> {
    stock_shop::run(async {
        let channel = Channel::from_shared(stock_shop::setting("SEAWALL_USER_ADDRESS")?)?.connect_lazy();
        let orders = Orders {
            sql: Sql::open(&stock_shop::sql()?, MIGRATIONS).await?,
            users: UserServiceClient::new(channel),
            changes: Changes::new(),
            watch_poll_interval: Duration::from_secs(1),
        };
        let incoming = stock_shop::listen()?;
        Ok(Server::builder().add_service(OrderServiceServer::new(orders)).serve_with_incoming(incoming).await?)
    })
}
