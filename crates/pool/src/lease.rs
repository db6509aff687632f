//! Connections and transactions as callers hold them.

use std::fmt;
use std::panic::Location;
use std::time::{Duration, Instant};

use tokio::sync::SemaphorePermit;

use crate::Shared;
use crate::driver::{Command, Driver, Output, Release};
use crate::error::{Error, Kind};
use crate::manager::Manager;
use crate::span;
use crate::value::{Row, Value};

const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection taken from the pool. It goes back when dropped.
///
/// Dropping the future of a statement stops the statement at the database, and the connection then
/// refuses other statements.
#[derive(Debug)]
pub struct Connection<'a> {
    lease: Lease<'a>,
}

/// A transaction. Dropped without [`commit`](Self::commit), it is rolled back.
///
/// After a statement has failed, the transaction can only be rolled back: PostgreSQL has it so, and
/// SQLite is held to the same. `ON CONFLICT DO NOTHING` is how to expect a conflict without failing.
#[derive(Debug)]
pub struct Transaction<'a> {
    lease: Lease<'a>,
    failed: bool,
    _write: Option<SemaphorePermit<'a>>,
}

impl<'a> Connection<'a> {
    pub(crate) fn new(lease: Lease<'a>) -> Self {
        Self { lease }
    }

    /// The rows of a statement.
    pub async fn query(&mut self, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, Error> {
        self.run(sql, params).await.map(|output| output.rows)
    }

    /// The first row of a statement, if there is one.
    pub async fn query_opt(&mut self, sql: &'static str, params: &[Value]) -> Result<Option<Row>, Error> {
        self.run(sql, params).await.map(|output| output.rows.into_iter().next())
    }

    /// How many rows a statement has inserted, updated or deleted.
    pub async fn execute(&mut self, sql: &'static str, params: &[Value]) -> Result<u64, Error> {
        self.run(sql, params).await.map(|output| output.affected)
    }

    async fn run(&mut self, sql: &'static str, params: &[Value]) -> Result<Output, Error> {
        let _write = self.lease.shared.write_permit(sql).await?;
        self.lease.run(sql, params).await
    }

    /// For one whose caller holds the permit to write already.
    pub(crate) async fn run_permitted(&mut self, sql: &'static str, params: &[Value]) -> Result<Output, Error> {
        self.lease.run(sql, params).await
    }
}

impl<'a> Transaction<'a> {
    pub(crate) async fn begin(mut lease: Lease<'a>, write: Option<SemaphorePermit<'a>>) -> Result<Self, Error> {
        let span = span::control(lease.shared, "BEGIN");
        span::finish(&span, span::within(&span, lease.driver().begin()).await)?;
        Ok(Self { lease, failed: false, _write: write })
    }

    /// The rows of a statement.
    pub async fn query(&mut self, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, Error> {
        self.run(sql, params).await.map(|output| output.rows)
    }

    /// The first row of a statement, if there is one.
    pub async fn query_opt(&mut self, sql: &'static str, params: &[Value]) -> Result<Option<Row>, Error> {
        self.run(sql, params).await.map(|output| output.rows.into_iter().next())
    }

    /// How many rows a statement has inserted, updated or deleted.
    pub async fn execute(&mut self, sql: &'static str, params: &[Value]) -> Result<u64, Error> {
        self.run(sql, params).await.map(|output| output.affected)
    }

    /// Makes what was done durable. When this fails or is dropped half way by the deadline, whether
    /// the transaction has taken effect is unknown; in every other case it has not.
    pub async fn commit(mut self) -> Result<(), Error> {
        self.check()?;
        let span = span::control(self.lease.shared, "COMMIT");
        span::finish(&span, span::within(&span, self.lease.driver().commit()).await)
    }

    /// Undoes what was done, and waits for it. Dropping the transaction does the same without waiting.
    pub async fn rollback(mut self) -> Result<(), Error> {
        let span = span::control(self.lease.shared, "ROLLBACK");
        span::finish(&span, span::within(&span, self.lease.driver().rollback()).await)
    }

    pub(crate) async fn batch(&mut self, sql: &'static str) -> Result<(), Error> {
        self.check()?;
        let done = self.lease.driver().run(Command::Batch(sql)).await;
        self.failed |= done.is_err();
        done.map(drop)
    }

    async fn run(&mut self, sql: &'static str, params: &[Value]) -> Result<Output, Error> {
        self.check()?;
        let done = self.lease.run(sql, params).await;
        self.failed |= done.is_err();
        done
    }

    fn check(&self) -> Result<(), Error> {
        let text = "an earlier statement of this transaction failed; it can only be rolled back";
        if self.failed { Err(Error::new(Kind::Transaction, text)) } else { Ok(()) }
    }
}

/// A connection out of the pool, with what has to happen when it goes back.
pub(crate) struct Lease<'a> {
    shared: &'a Shared,
    /// Taken only by the drop.
    connection: Option<bb8::PooledConnection<'static, Manager>>,
    id: u64,
    taken: Instant,
}

impl<'a> Lease<'a> {
    pub(crate) fn new(
        shared: &'a Shared,
        connection: bb8::PooledConnection<'static, Manager>,
        taken_at: &'static Location<'static>,
    ) -> Self {
        Self { shared, connection: Some(connection), id: shared.held.add(taken_at), taken: Instant::now() }
    }

    fn driver(&mut self) -> &mut Driver {
        self.connection.as_mut().expect("the connection is taken by the drop alone")
    }

    async fn run(&mut self, sql: &'static str, params: &[Value]) -> Result<Output, Error> {
        let span = span::statement(self.shared, sql);
        let done = span::within(&span, self.driver().run(Command::Statement { sql, params })).await;
        span::finish_statement(&span, done)
    }
}

impl fmt::Debug for Lease<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("id", &self.id).field("database", &self.shared.database).finish_non_exhaustive()
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.shared.held.remove(self.id);
        self.shared.metrics.used(self.taken.elapsed());
        let Some(mut connection) = self.connection.take() else { return };
        if connection.release() == Release::Now {
            return;
        }
        // The pool's size bounds how many of these there are: the connection counts as used until then.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                match tokio::time::timeout(ROLLBACK_TIMEOUT, connection.rollback()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => connection.set_broken(),
                }
            })),
            Err(_) => connection.set_broken(),
        }
    }
}
