//! The user service: the people who order, as `seawall.user.v1.UserService`.
//!
//! A method is a function from its request to its response, in a file that bears its name; it checks
//! every field, runs its SQL and answers. Deadlines, spans, metrics, limits and the pool come from the
//! stack around it, so none of them is named in here.
//!
//! # Structure
//! `create.rs get.rs batch.rs list.rs update.rs delete.rs import.rs` are the methods, `service.rs`
//! joins them to the contract and `main.rs` starts the process. What they share: `fields.rs` (what a
//! field must be), `record.rs` (a row of the table) and `errors.rs` (reasons). The table is in
//! `migrations/`.

mod batch;
mod create;
mod delete;
mod errors;
mod fields;
mod get;
mod import;
mod list;
mod record;
mod service;
mod update;

use seawall_config::Reader;
use seawall_pool::{Migration, Sql};
use seawall_proto::seawall::user::v1::user_service_server::UserServiceServer;
use seawall_server::Server;

const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "users", sql: include_str!("../migrations/0001_users.sql") }];

/// The settings of the service, beside those that every service has.
#[derive(Debug)]
pub struct Config {
    /// Section `sql`.
    pub sql: seawall_pool::Config,
}

impl Config {
    /// Reads every section; mistakes stay with the reader.
    pub fn read(reader: &mut Reader) -> Self {
        Self { sql: seawall_pool::Config::read(&mut reader.section("sql"), "sqlite://user.db") }
    }
}

/// The service, to be added to a server.
#[derive(Debug, Clone)]
pub struct Users {
    sql: Sql,
}

impl Users {
    /// Opens the database and brings its tables up to date.
    pub async fn open(sql: &seawall_pool::Config) -> Result<Self, seawall_pool::Error> {
        Ok(Self { sql: Sql::open(sql, MIGRATIONS).await? })
    }

    /// What [`Server::add_service`] takes.
    pub fn service(self) -> UserServiceServer<Self> {
        UserServiceServer::new(self)
    }
}

/// Opens the service and adds it to `server`, which is ready once the tables are.
pub async fn start(config: Config, server: Server) -> Result<Server, seawall_pool::Error> {
    let database = server.health().latch("database");
    let users = Users::open(&config.sql).await?;
    database.ready();
    Ok(server.add_service(users.service()))
}
