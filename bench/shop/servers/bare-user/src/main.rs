//! The user service on stock tonic: its own files, on the server that tonic generates and its transport, and nothing
//! around them.
//!
//! What the files know as `seawall_proto` is the contract as tonic generates it. Those that are skipped have tests
//! beside them, which rustfmt does not find from here.

extern crate stock_shop as seawall_proto;

#[path = "../../../../../services/user/src/batch.rs"]
mod batch;
#[path = "../../../../../services/user/src/create.rs"]
mod create;
#[path = "../../../../../services/user/src/delete.rs"]
mod delete;
#[path = "../../../../../services/user/src/errors.rs"]
mod errors;
#[rustfmt::skip]
#[path = "../../../../../services/user/src/fields.rs"]
mod fields;
#[path = "../../../../../services/user/src/get.rs"]
mod get;
#[path = "../../../../../services/user/src/import.rs"]
mod import;
#[path = "../../../../../services/user/src/list.rs"]
mod list;
#[path = "../../../../../services/user/src/record.rs"]
mod record;
#[path = "../../../../../services/user/src/service.rs"]
mod service;
#[path = "../../../../../services/user/src/update.rs"]
mod update;

use seawall_pool::{Migration, Sql};
use stock_shop::seawall::user::v1::user_service_server::UserServiceServer;
use tonic::transport::Server;

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "users",
    sql: include_str!("../../../../../services/user/migrations/0001_users.sql"),
}];

/// As the service has it.
struct Users {
    sql: Sql,
}

fn main() -> anyhow::Result<()> {
    stock_shop::run(async {
        let users = Users { sql: Sql::open(&stock_shop::sql()?, MIGRATIONS).await? };
        let incoming = stock_shop::listen()?;
        Ok(Server::builder().add_service(UserServiceServer::new(users)).serve_with_incoming(incoming).await?)
    })
}
