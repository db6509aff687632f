//! How bb8 makes, tests and discards connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::config::{Config, Target};
use crate::driver::{Command, Driver, Engine};
use crate::error::{Error, Kind};
use crate::{postgres, sqlite};

/// A connection that was used this recently is not tested again.
const TESTED_AFTER: Duration = Duration::from_secs(1);
const TEST_TIMEOUT: Duration = Duration::from_secs(1);

pub(crate) struct Manager {
    target: Target,
    connect_timeout: Duration,
    busy_timeout: Duration,
    inline_sqlite: Option<fn() -> Duration>,
    lifetime_max: Duration,
    /// Tells those who wait for a connection why none comes.
    failure: watch::Sender<Option<Arc<Error>>>,
    /// bb8 takes those that we find expired for broken, and counts them so.
    pub(crate) expired: Arc<AtomicU64>,
}

impl Manager {
    pub(crate) fn new(config: &Config, target: Target, failure: watch::Sender<Option<Arc<Error>>>) -> Self {
        Self {
            target,
            connect_timeout: config.connect_timeout,
            busy_timeout: config.busy_timeout,
            inline_sqlite: config.inline_sqlite,
            lifetime_max: config.lifetime_max,
            failure,
            expired: Arc::default(),
        }
    }

    async fn open(&self) -> Result<Engine, Error> {
        // Which database it is, the pool says.
        let failed = || Error::new(Kind::Unreachable, "connecting failed");
        match &self.target {
            Target::Sqlite(path) => sqlite::Connection::open(path, self.busy_timeout, self.inline_sqlite)
                .await
                .map(Engine::Sqlite)
                .map_err(|source| Error::cannot_open(path).with_source(source)),
            Target::Postgres(postgres) => {
                match tokio::time::timeout(self.connect_timeout, postgres::Connection::open(postgres)).await {
                    Ok(opened) => opened.map(Engine::Postgres).map_err(|source| failed().with_source(source)),
                    Err(elapsed) => Err(failed().with_source(elapsed)),
                }
            }
        }
    }
}

impl bb8::ManageConnection for Manager {
    type Connection = Driver;
    type Error = Arc<Error>;

    async fn connect(&self) -> Result<Driver, Arc<Error>> {
        match self.open().await {
            // Spread, so that connections made together are not all replaced together.
            Ok(engine) => Ok(Driver::new(engine, self.lifetime_max.mul_f64(rand::random_range(0.8..1.0)))),
            Err(error) => {
                let error = Arc::new(error);
                self.failure.send_replace(Some(Arc::clone(&error)));
                Err(error)
            }
        }
    }

    async fn is_valid(&self, driver: &mut Driver) -> Result<(), Arc<Error>> {
        if driver.is_broken() {
            return Err(Arc::new(Error::lost()));
        }
        if driver.idle_time() < TESTED_AFTER {
            return Ok(());
        }
        let test = driver.run(Command::Statement { sql: "SELECT 1", params: &[] });
        match tokio::time::timeout(TEST_TIMEOUT, test).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Arc::new(error)),
            Err(_) => Err(Arc::new(Error::new(Kind::Unreachable, "a connection did not answer its test"))),
        }
    }

    fn has_broken(&self, driver: &mut Driver) -> bool {
        let is_broken = driver.is_broken();
        if !is_broken && driver.is_expired() {
            self.expired.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        is_broken
    }
}
