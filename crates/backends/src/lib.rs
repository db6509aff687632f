//! Real servers from the binaries of this machine: PostgreSQL, Redis or Valkey, Jaeger.
//!
//! For `cargo seawall up --with postgres,redis,jaeger` and for tests. Each server listens on
//! 127.0.0.1 alone, writes to a log file, is waited for until it answers, and ends with the process
//! that started it, however that one ends. It installs nothing: what is missing is named together
//! with how to get it.
//!
//! ```no_run
//! use std::path::Path;
//! use seawall_backends::{Options, Postgres};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Postgres::find()?.start(Path::new("data/postgres"), 5432, Path::new("postgres.log"), Options::default()).await?;
//! server.create_database("shop").await?;
//! println!("{}", server.url("shop"));
//! server.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Structure
//! `process.rs` starts, watches and ends a server; `postgres.rs`, `redis.rs` and `jaeger.rs` know
//! their own arguments and when they are ready; `user.rs` is about running PostgreSQL when we are root.

mod error;
mod find;
mod jaeger;
mod postgres;
mod process;
mod redis;
mod user;

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

pub use error::{NotFound, StartError};
pub use jaeger::{Jaeger, JaegerPorts, RunningJaeger};
pub use postgres::{Postgres, RunningPostgres, create_database};
pub use redis::{Redis, RunningRedis};

/// How a server is run.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Put before the server's command line: a program that becomes the server (`exec`) and takes
    /// care that it ends. Without one, a shell stands between us and the server, which ends it when
    /// our end of a pipe closes, so also when we are killed.
    pub prefix: Vec<OsString>,
    /// For tests: what is written may be lost when the machine stops.
    pub not_durable: bool,
    /// Removed when the server has ended (only without a prefix).
    pub remove_at_end: Option<PathBuf>,
}

/// A port of 127.0.0.1 that was free a moment ago. Another process may take it before it is used.
pub fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
