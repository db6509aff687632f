//! A connection of either engine, with what the pool has to know about it.

use std::time::{Duration, Instant};

use seawall_deadline::Deadline;

use crate::error::{Error, Kind};
use crate::value::{Row, Value};
use crate::{postgres, sqlite};

/// What a connection is asked to do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Command<'a> {
    /// One statement, prepared once for each connection.
    Statement { sql: &'static str, params: &'a [Value] },
    /// Statements without parameters and rows: BEGIN, COMMIT, ROLLBACK, migrations.
    Batch(&'static str),
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) rows: Vec<Row>,
    pub(crate) affected: u64,
}

pub(crate) enum Engine {
    Sqlite(sqlite::Connection),
    Postgres(postgres::Connection),
}

/// A connection. It is clean, in a transaction, abandoned (a statement's future was dropped before
/// its end) or broken. [`release`](Self::release) makes it clean again, or broken for good.
pub(crate) struct Driver {
    engine: Engine,
    in_transaction: bool,
    abandoned: bool,
    broken: bool,
    expires: Instant,
    used: Instant,
}

/// What is left to do before a connection may go back to the pool.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Release {
    Now,
    AfterRollback,
}

impl Driver {
    pub(crate) fn new(engine: Engine, lifetime: Duration) -> Self {
        let now = Instant::now();
        Self { engine, in_transaction: false, abandoned: false, broken: false, expires: now + lifetime, used: now }
    }

    /// Runs a command, at most until the deadline of the call. Dropping the future stops the command
    /// at the database; the connection then refuses every other command until it is released.
    pub(crate) async fn run(&mut self, command: Command<'_>) -> Result<Output, Error> {
        let Some(deadline) = Deadline::current() else { return self.run_unbounded(command).await };
        if deadline.remaining().is_zero() {
            return Err(Error::deadline());
        }
        tokio::time::timeout_at(deadline.instant(), self.run_unbounded(command))
            .await
            .unwrap_or_else(|_| Err(Error::deadline()))
    }

    async fn run_unbounded(&mut self, command: Command<'_>) -> Result<Output, Error> {
        if self.abandoned || self.broken {
            return Err(Error::new(Kind::Transaction, "an earlier statement on this connection was abandoned"));
        }
        let mut running = Running { driver: self, done: false };
        let result = match &mut running.driver.engine {
            Engine::Sqlite(connection) => connection.run(command).await,
            Engine::Postgres(connection) => connection.run(command).await,
        };
        running.done = true;
        drop(running);
        if result.as_ref().is_err_and(|error| error.kind() == Kind::Unreachable) {
            self.broken = true;
        }
        result
    }

    pub(crate) async fn begin(&mut self) -> Result<(), Error> {
        let sql = match self.engine {
            // The write lock is taken at once: a transaction that reads first and writes later cannot wait for it.
            Engine::Sqlite(_) => "BEGIN IMMEDIATE",
            Engine::Postgres(_) => "BEGIN",
        };
        self.in_transaction = true;
        self.run(Command::Batch(sql)).await.map(drop)
    }

    pub(crate) async fn commit(&mut self) -> Result<(), Error> {
        self.run(Command::Batch("COMMIT")).await?;
        self.in_transaction = false;
        Ok(())
    }

    pub(crate) async fn rollback(&mut self) -> Result<(), Error> {
        self.run(Command::Batch("ROLLBACK")).await?;
        self.in_transaction = false;
        Ok(())
    }

    /// Called when the connection is given back. Nothing that was begun survives it.
    pub(crate) fn release(&mut self) -> Release {
        self.used = Instant::now();
        if !self.in_transaction && !self.abandoned {
            return Release::Now;
        }
        match &mut self.engine {
            Engine::Sqlite(connection) => {
                self.broken |= !connection.clean();
                self.in_transaction = false;
                self.abandoned = false;
                Release::Now
            }
            Engine::Postgres(_) if self.abandoned || self.broken => {
                self.broken = true;
                Release::Now
            }
            Engine::Postgres(_) => Release::AfterRollback,
        }
    }

    pub(crate) fn set_broken(&mut self) {
        self.broken = true;
    }

    pub(crate) fn is_broken(&self) -> bool {
        let closed = match &self.engine {
            Engine::Sqlite(connection) => connection.is_closed(),
            Engine::Postgres(connection) => connection.is_closed(),
        };
        closed || self.broken || self.abandoned || self.in_transaction
    }

    pub(crate) fn is_expired(&self) -> bool {
        Instant::now() >= self.expires
    }

    pub(crate) fn idle_time(&self) -> Duration {
        self.used.elapsed()
    }
}

/// A command under way. Dropped before it is done, it stops the command.
struct Running<'a> {
    driver: &'a mut Driver,
    done: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        self.driver.abandoned = true;
        match &self.driver.engine {
            Engine::Sqlite(connection) => connection.abandon(),
            Engine::Postgres(connection) => connection.abandon(),
        }
    }
}
