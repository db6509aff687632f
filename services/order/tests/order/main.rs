//! The order service over a real socket, on SQLite and on PostgreSQL, beside a user service that
//! behaves as each test wants it to.

mod cancel;
mod get;
mod harness;
mod list;
mod place;
mod user_service;
mod users;
mod watch;
