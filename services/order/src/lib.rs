//! The order service: what people order, as `seawall.order.v1.OrderService`.
//!
//! A method is a function from its request to its response, in a file that bears its name; it checks
//! every field, runs its SQL and answers. Deadlines, spans, metrics, limits and the pool come from the
//! stack around it, so none of them is named in here. That a user exists is known only to the user
//! service, which PlaceOrder asks.
//!
//! # Structure
//! `place.rs get.rs list.rs cancel.rs watch.rs` are the methods, `service.rs` joins them to the
//! contract and `main.rs` starts the process. What they share: `idempotency.rs` (one answer for each
//! key), `money.rs` (prices and their sum), `fields.rs` (what a field must be), `stored.rs` (rows of
//! the tables) and `errors.rs` (reasons). The tables are in `migrations/`.

mod cancel;
mod errors;
mod fields;
mod get;
mod idempotency;
mod list;
mod money;
mod place;
mod service;
mod stored;
mod watch;

use std::time::Duration;

use seawall_client::Channel;
use seawall_config::Reader;
use seawall_policy::Policies;
use seawall_pool::{Migration, Sql};
use seawall_proto::seawall::order::v1::order_service_server::OrderServiceServer;
use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;
use seawall_server::Server;

use watch::Changes;

const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "orders", sql: include_str!("../migrations/0001_orders.sql") }];

/// The settings of the service, beside those that every service has.
#[derive(Debug)]
pub struct Config {
    /// Section `sql`.
    pub sql: seawall_pool::Config,
    /// Section `user`: how the user service is reached.
    pub user: seawall_client::Config,
    /// How often WatchOrder looks for a change made by another process.
    pub watch_poll_interval: Duration,
}

impl Config {
    /// Reads every section; mistakes stay with the reader.
    pub fn read(reader: &mut Reader) -> Self {
        let bounds = Duration::from_millis(10)..=Duration::from_secs(60);
        Self {
            sql: seawall_pool::Config::read(&mut reader.section("sql"), "sqlite://order.db"),
            user: seawall_client::Config::read(&mut reader.section("user"), "http://127.0.0.1:50051"),
            watch_poll_interval: reader.section("order").checked(
                "watch_poll_interval",
                "1s",
                "how often WatchOrder looks for a change made by another process",
                "10ms to 1min",
                |interval| bounds.contains(interval),
            ),
        }
    }
}

/// The service, to be added to a server.
#[derive(Debug, Clone)]
pub struct Orders {
    sql: Sql,
    users: UserServiceClient<Channel>,
    changes: Changes,
    watch_poll_interval: Duration,
}

impl Orders {
    /// Opens the database and brings its tables up to date. The user service need not be there yet.
    pub async fn open(config: &Config, policies: &Policies) -> Result<Self, seawall_pool::Error> {
        Ok(Self {
            sql: Sql::open(&config.sql, MIGRATIONS).await?,
            users: UserServiceClient::new(Channel::new("user", &config.user, policies)),
            changes: Changes::new(),
            watch_poll_interval: config.watch_poll_interval,
        })
    }

    /// What [`Server::add_service`] takes.
    pub fn service(self) -> OrderServiceServer<Self> {
        OrderServiceServer::new(self)
    }
}

/// Opens the service and adds it to `server`, which is ready once the tables are. Whether the user
/// service is there has no part in it: most methods do without.
pub async fn start(config: Config, server: Server) -> Result<Server, seawall_pool::Error> {
    let database = server.health().latch("database");
    let orders = Orders::open(&config, server.policies()).await?;
    database.ready();
    Ok(server.add_service(orders.service()))
}
