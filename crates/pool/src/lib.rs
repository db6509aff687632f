//! SQL through a pool: the same text on SQLite (a file, the embedded default) and PostgreSQL.
//!
//! A checkout waits no longer than the deadline of the call, and neither does a statement. Dropping
//! a future stops its statement at the database, and dropping a [`Transaction`] rolls it back; a
//! connection never comes back from the pool with anything open.
//!
//! One text serves both engines if it uses the parameters `$1`, `$2` …, the types `BIGINT`, `TEXT`,
//! `BYTEA` and `DOUBLE PRECISION`, and `ON CONFLICT` and `RETURNING` where needed.
//!
//! ```
//! use seawall_pool::{Config, Error, Migration, Sql};
//!
//! const MIGRATIONS: &[Migration] = &[Migration {
//!     version: 1,
//!     name: "users",
//!     sql: "CREATE TABLE users (id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE)",
//! }];
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let url = format!("sqlite://{}/shop.db", folder.path().display());
//! let sql = Sql::open(&Config::new(url), MIGRATIONS).await?;
//! let mut transaction = sql.begin().await?;
//! transaction.execute("INSERT INTO users (id, email) VALUES ($1, $2)", &["u1".into(), "ann@example.com".into()]).await?;
//! transaction.commit().await?;
//! let row = sql.query_opt("SELECT email FROM users WHERE id = $1", &["u1".into()]).await?.expect("just written");
//! assert_eq!(row.get::<String>("email")?, "ann@example.com");
//! # Ok(())
//! # }
//! ```
//!
//! # Structure
//! `lib.rs` is the pool; `lease.rs` what is taken out of it; `driver.rs` a connection of either
//! engine, over `sqlite.rs` or `postgres.rs`; `manager.rs` makes and tests connections for bb8;
//! `held.rs` finds those held too long; `migration.rs` the schema; `span.rs` and `metrics.rs` what is
//! seen from outside; `value.rs`, `config.rs` and `error.rs` what their names say.

mod config;
mod driver;
mod error;
mod held;
mod lease;
mod manager;
mod metrics;
mod migration;
mod postgres;
mod span;
mod sqlite;
mod tls;
mod value;

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use seawall_deadline::Deadline;
use tokio::sync::{Semaphore, SemaphorePermit, watch};

pub use config::Config;
pub use error::Error;
pub use lease::{Connection, Transaction};
pub use migration::Migration;
pub use value::{FromValue, Row, Value};

use driver::Output;
use lease::Lease;
use manager::Manager;

/// Which engine is behind a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backend {
    /// SQLite, in a file.
    Sqlite,
    /// PostgreSQL, over a socket.
    Postgres,
}

impl Backend {
    /// The name in OpenTelemetry's conventions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgresql",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A pool of connections to one database. A clone is another handle to the same pool.
#[derive(Clone)]
pub struct Sql(Arc<Shared>);

pub(crate) struct Shared {
    pool: bb8::Pool<Manager>,
    backend: Backend,
    /// The URL without user and password.
    database: String,
    size_max: u32,
    checkout_timeout: Duration,
    busy_timeout: Duration,
    failure: watch::Receiver<Option<Arc<Error>>>,
    /// How many of the connections that bb8 calls broken had only come to the end of their life.
    expired: Arc<AtomicU64>,
    held: held::Held,
    metrics: metrics::Metrics,
    /// SQLite has one writer at a time. Waiting for it here is fair and costs nothing, where waiting
    /// inside SQLite is polling. Nobody holds a connection while waiting, except a caller that writes
    /// on a [`Connection`] of its own.
    writer: Option<Semaphore>,
}

impl Sql {
    /// Opens the pool, and applies the migrations that are missing, under a lock: any number of
    /// processes may do it at once. Fails when the database cannot be reached, when an applied
    /// migration has been changed, and when the database is newer than the program.
    ///
    /// Where the settings say that another process applies them (`migrate`), it waits for that, and
    /// takes a newer database.
    pub async fn open(config: &Config, migrations: &'static [Migration]) -> Result<Self, Error> {
        let target = config.target()?;
        let (backend, database) = (target.backend(), target.to_string());
        let (failed, failure) = watch::channel(None);
        let manager = Manager::new(config, target, failed);
        let expired = Arc::clone(&manager.expired);
        let pool = bb8::Pool::builder()
            .max_size(config.size_max)
            .connection_timeout(config.checkout_timeout)
            .idle_timeout(config.idle_timeout)
            .max_lifetime(config.lifetime_max)
            .queue_strategy(bb8::QueueStrategy::Lifo)
            .build_unchecked(manager);
        let shared = Arc::new(Shared {
            pool,
            backend,
            metrics: metrics::Metrics::new(&database),
            database,
            size_max: config.size_max,
            checkout_timeout: config.checkout_timeout,
            busy_timeout: config.busy_timeout,
            failure,
            expired,
            held: held::Held::default(),
            writer: (backend == Backend::Sqlite).then(|| Semaphore::new(1)),
        });
        tokio::spawn(held::watch(Arc::downgrade(&shared), config.leak_timeout));
        metrics::observe(&Arc::downgrade(&shared));
        let sql = Self(shared);
        migration::prepare(&sql, migrations, config).await?;
        Ok(sql)
    }

    /// Which engine it is.
    pub fn backend(&self) -> Backend {
        self.0.backend
    }

    /// A connection, for several statements without a transaction.
    ///
    /// Waits for at most `checkout_timeout`, and no longer than the deadline of the call.
    /// Cancel-safe.
    #[track_caller]
    pub fn connection(&self) -> impl Future<Output = Result<Connection<'_>, Error>> + Send {
        let caller = Location::caller();
        async move { self.0.checkout(caller).await.map(Connection::new) }
    }

    /// A transaction. SQLite has one at a time for each file; others wait, within the same bounds.
    /// Cancel-safe.
    #[track_caller]
    pub fn begin(&self) -> impl Future<Output = Result<Transaction<'_>, Error>> + Send {
        let caller = Location::caller();
        async move {
            let write = self.0.writer_permit().await?;
            let lease = self.0.checkout(caller).await?;
            Transaction::begin(lease, write).await
        }
    }

    /// The rows of one statement, on a connection of its own.
    #[track_caller]
    pub fn query(&self, sql: &'static str, params: &[Value]) -> impl Future<Output = Result<Vec<Row>, Error>> + Send {
        let caller = Location::caller();
        async move { self.run(sql, params, caller).await.map(|output| output.rows) }
    }

    /// The first row of one statement, if there is one.
    #[track_caller]
    pub fn query_opt(
        &self,
        sql: &'static str,
        params: &[Value],
    ) -> impl Future<Output = Result<Option<Row>, Error>> + Send {
        let caller = Location::caller();
        async move { self.run(sql, params, caller).await.map(|output| output.rows.into_iter().next()) }
    }

    /// How many rows one statement has inserted, updated or deleted.
    #[track_caller]
    pub fn execute(&self, sql: &'static str, params: &[Value]) -> impl Future<Output = Result<u64, Error>> + Send {
        let caller = Location::caller();
        async move { self.run(sql, params, caller).await.map(|output| output.affected) }
    }

    /// Whether the database answers.
    #[track_caller]
    pub fn ping(&self) -> impl Future<Output = Result<(), Error>> + Send {
        let caller = Location::caller();
        async move { self.run("SELECT 1", &[], caller).await.map(drop) }
    }

    async fn run(
        &self,
        sql: &'static str,
        params: &[Value],
        caller: &'static Location<'static>,
    ) -> Result<Output, Error> {
        let _write = self.0.write_permit(sql).await?;
        let lease = self.0.checkout(caller).await?;
        Connection::new(lease).run_permitted(sql, params).await
    }
}

impl fmt::Debug for Sql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sql").field("database", &self.0.database).finish_non_exhaustive()
    }
}

impl Shared {
    async fn checkout(&self, taken_at: &'static Location<'static>) -> Result<Lease<'_>, Error> {
        let span = span::checkout(self);
        let started = Instant::now();
        let result = span::finish(&span, span::within(&span, self.checkout_bounded()).await);
        match &result {
            Ok(_) => self.metrics.waited(started.elapsed()),
            Err(error) if error.pool_exhausted() || error.deadline_exceeded() => self.metrics.timed_out(),
            Err(_) => {}
        }
        result.map(|connection| Lease::new(self, connection, taken_at))
    }

    async fn checkout_bounded(&self) -> Result<bb8::PooledConnection<'static, Manager>, Error> {
        let Some(deadline) = Deadline::current() else { return self.checkout_or_failure().await };
        if deadline.remaining().is_zero() {
            return Err(Error::deadline());
        }
        tokio::time::timeout_at(deadline.instant(), self.checkout_or_failure())
            .await
            .unwrap_or_else(|_| Err(Error::deadline()))
    }

    /// Waits for a connection, and stops as soon as it is clear that none can come: the database
    /// cannot be reached, and no other call has a connection that it could give back.
    async fn checkout_or_failure(&self) -> Result<bb8::PooledConnection<'static, Manager>, Error> {
        let mut failure = self.failure.clone();
        failure.mark_unchanged();
        let mut checkout = std::pin::pin!(self.pool.get_owned());
        loop {
            tokio::select! {
                biased;
                result = &mut checkout => return result.map_err(|_| self.no_connection(&failure)),
                // The sender lives in the pool, so it outlasts this.
                _ = failure.changed() => {
                    if self.pool.state().connections == 0 {
                        return Err(self.no_connection(&failure));
                    }
                }
            }
        }
    }

    fn no_connection(&self, failure: &watch::Receiver<Option<Arc<Error>>>) -> Error {
        if self.pool.state().connections > 0 {
            return Error::exhausted(self.size_max, self.checkout_timeout);
        }
        let error = Error::unreachable(&self.database);
        match failure.borrow().clone() {
            Some(cause) => error.with_source(cause),
            None => error,
        }
    }

    /// The permit that a statement needs, if it writes and the engine has one writer.
    async fn write_permit(&self, sql: &'static str) -> Result<Option<SemaphorePermit<'_>>, Error> {
        if self.writer.is_none() || span::Summary::of(sql).is_read() { Ok(None) } else { self.writer_permit().await }
    }

    async fn writer_permit(&self) -> Result<Option<SemaphorePermit<'_>>, Error> {
        let Some(writer) = &self.writer else { return Ok(None) };
        let busy = || Error::statement(error::Kind::Busy);
        let left = Deadline::current().map(Deadline::remaining);
        let timeout = left.map_or(self.busy_timeout, |left| left.min(self.busy_timeout));
        match tokio::time::timeout(timeout, writer.acquire()).await {
            Ok(permit) => permit.map(Some).map_err(|_| busy()),
            Err(_) if timeout < self.busy_timeout => Err(Error::deadline()),
            Err(_) => Err(busy()),
        }
    }
}
