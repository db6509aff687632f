//! The user service over a real socket, on SQLite and on PostgreSQL.

mod batch;
mod create;
mod delete;
mod get;
mod harness;
mod import;
mod list;
mod update;
