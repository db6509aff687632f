//! The __name__ service, as `seawall.__name__.v1.__Name__Service`.
//!
//! A method is a function from its request to its response, in a file that bears its name; it checks
//! every field, runs its SQL and answers. Deadlines, spans, metrics and the pool come from the stack
//! around it, so none of them is named in here.
//!
//! # Structure
//! `create.rs get.rs list.rs` are the methods, `service.rs` joins them to the contract and `main.rs`
//! starts the process. What they share: `record.rs` (a row of the table) and `errors.rs` (reasons).
//! The table is in `migrations/`.

mod create;
mod errors;
mod get;
mod list;
mod record;
mod service;

use seawall_config::Reader;
use seawall_pool::{Migration, Sql};
use seawall_proto::seawall::__name__::v1::__name___service_server::__Name__ServiceServer;
use seawall_server::Server;

const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "items", sql: include_str!("../migrations/0001_items.sql") }];

/// The settings of the service, beside those that every service has.
#[derive(Debug)]
pub struct Config {
    /// Section `sql`.
    pub sql: seawall_pool::Config,
}

impl Config {
    /// Reads every section; mistakes stay with the reader.
    pub fn read(reader: &mut Reader) -> Self {
        Self { sql: seawall_pool::Config::read(&mut reader.section("sql"), "sqlite://__name__.db") }
    }
}

/// The service, to be added to a server.
#[derive(Debug, Clone)]
pub struct Items {
    sql: Sql,
}

impl Items {
    /// Opens the database and brings its tables up to date.
    pub async fn open(sql: &seawall_pool::Config) -> Result<Self, seawall_pool::Error> {
        Ok(Self { sql: Sql::open(sql, MIGRATIONS).await? })
    }

    /// What [`Server::add_service`] takes.
    pub fn service(self) -> __Name__ServiceServer<Self> {
        __Name__ServiceServer::new(self)
    }
}

/// Opens the service and adds it to `server`, which is ready once the tables are.
pub async fn start(config: Config, server: Server) -> Result<Server, seawall_pool::Error> {
    let database = server.health().latch("database");
    let items = Items::open(&config.sql).await?;
    database.ready();
    Ok(server.add_service(items.service()))
}
