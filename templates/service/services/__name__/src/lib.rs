//! The __name__ service, as `__root__.__name__.v1.__Name__Service`.
//!
//! A method is a function from its request to its response, in a file that bears its name; it checks
//! every field, does its work and answers. Deadlines, spans, metrics, limits and pools come from the
//! stack around it, so none of them is named in here.
//!
//! # Structure
//% if sql stream
//! `create.rs get.rs list.rs export.rs` are the methods, `service.rs` joins them to the contract and
//! `main.rs` starts the process. What they share: `fields.rs` (what a field must be), `record.rs` (a row
//! of the table), `errors.rs` (reasons). The table is in `migrations/`.
//% end
//% if sql not stream
//! `create.rs get.rs list.rs` are the methods, `service.rs` joins them to the contract and `main.rs`
//! starts the process. What they share: `fields.rs` (what a field must be), `record.rs` (a row of the
//! table), `errors.rs` (reasons). The table is in `migrations/`.
//% end
//% if none stream
//! `check.rs check_all.rs` are the methods, `service.rs` joins them to the contract and `main.rs` starts
//! the process. What they share: `fields.rs` (what a field must be) and `errors.rs` (reasons).
//% end
//% if none not stream
//! In `check.rs` are the methods, `service.rs` joins them to the contract and `main.rs` starts the process.
//! What they share: `fields.rs` (what a field must be) and `errors.rs` (reasons).
//% end
//% if calls
//! Whether something is there that belongs to another service, `peers.rs` asks.
//% end

//% if none
mod check;
//% if stream
mod check_all;
//% end
//% end
//% if sql
mod create;
//% end
mod errors;
//% if sql stream
mod export;
//% end
mod fields;
//% if sql
mod get;
mod list;
//% end
//% if calls
mod peers;
//% end
//% if sql
mod record;
//% end
mod service;

use seawall_config::Reader;
//% if calls
use seawall_policy::Policies;
//% end
//% if sql
use seawall_pool::{Migration, Sql};
//% end
use __root___proto::__root__::__name__::v1::__name___service_server::__Name__ServiceServer;
use seawall_server::Server;
//% if calls

use peers::Peers;
//% end
//% if sql

const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "items", sql: include_str!("../migrations/0001_items.sql") }];
//% end

/// The settings of the service, beside those that every service has.
#[derive(Debug)]
pub struct Config {
//% if sql
    /// Section `sql`.
    pub sql: seawall_pool::Config,
//% end
//% each calls
    /// Section `__peer__`: how the __peer__ service is reached.
    pub __peer__: seawall_client::Config,
//% end
}

impl Config {
//% if settings
    /// Reads every section; mistakes stay with the reader.
    pub fn read(reader: &mut Reader) -> Self {
        Self {
//% if sql
            sql: seawall_pool::Config::read(&mut reader.section("sql"), "sqlite://__name__.db"),
//% end
//% each calls
            __peer__: seawall_client::Config::read(&mut reader.section("__peer__"), "http://127.0.0.1:__peer_port__"),
//% end
        }
    }
//% else
    /// Reads every section, of which there is none yet; mistakes stay with the reader.
    pub fn read(_: &mut Reader) -> Self {
        Self {}
    }
//% end
}

/// The service, to be added to a server.
#[derive(Debug, Clone)]
pub struct Items {
//% if sql
    sql: Sql,
//% end
//% if calls
    peers: Peers,
//% end
}

impl Items {
//% if sql calls
    /// Opens the database and brings its tables up to date. The services that it calls need not be there yet.
    pub async fn open(config: &Config, policies: &Policies) -> Result<Self, seawall_pool::Error> {
        Ok(Self { sql: Sql::open(&config.sql, MIGRATIONS).await?, peers: Peers::new(config, policies) })
    }
//% end
//% if sql not calls
    /// Opens the database and brings its tables up to date.
    pub async fn open(sql: &seawall_pool::Config) -> Result<Self, seawall_pool::Error> {
        Ok(Self { sql: Sql::open(sql, MIGRATIONS).await? })
    }
//% end
//% if none calls
    /// The services that it calls need not be there yet.
    pub fn new(config: &Config, policies: &Policies) -> Self {
        Self { peers: Peers::new(config, policies) }
    }
//% end
//% if none not calls
    /// Has no need of its settings yet.
    pub fn new(_: &Config) -> Self {
        Self {}
    }
//% end

    /// What [`Server::add_service`] takes.
    pub fn service(self) -> __Name__ServiceServer<Self> {
        __Name__ServiceServer::new(self)
    }
}

//% if sql
//% if calls
/// Opens the service and adds it to `server`, which is ready once the tables are. Whether the services that
/// it calls are there has no part in it: most methods do without.
//% else
/// Opens the service and adds it to `server`, which is ready once the tables are.
//% end
pub async fn start(config: Config, server: Server) -> Result<Server, seawall_pool::Error> {
    let database = server.health().latch("database");
//% if calls
    let items = Items::open(&config, server.policies()).await?;
//% else
    let items = Items::open(&config.sql).await?;
//% end
    database.ready();
    Ok(server.add_service(items.service()))
}
//% else
/// Adds the service to `server`, which is ready at once.
pub fn start(config: &Config, server: Server) -> Server {
//% if calls
    let items = Items::new(config, server.policies());
//% else
    let items = Items::new(config);
//% end
    server.add_service(items.service())
}
//% end
