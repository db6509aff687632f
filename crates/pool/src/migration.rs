//! Migrations: embedded in the program, applied in order at start, under a lock.
//!
//! Where many processes are replaced at a time, one of them does so and the others wait for it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::error::{Error, Kind};
use crate::lease::Transaction;
use crate::value::{Row, Value};
use crate::{Backend, Config, Sql};

/// What lies between two looks at whether another process has applied the migrations.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// One step from one version of the schema to the next. Never changed once it has been released.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// 1, 2, 3 …, without gaps.
    pub version: i64,
    /// A few words, for messages.
    pub name: &'static str,
    /// One or more statements, separated by semicolons.
    pub sql: &'static str,
}

impl Migration {
    /// FNV-1a, 64 bits: it finds edits, and need not withstand an attacker. Line ends of any kind are
    /// the same, because version control changes them.
    fn checksum(&self) -> String {
        let text = self.sql.trim().bytes().filter(|byte| *byte != b'\r');
        let hash = text
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        format!("{hash:016x}")
    }
}

/// Applies what is missing, or waits until another process has, as the settings say.
pub(crate) async fn prepare(sql: &Sql, migrations: &'static [Migration], config: &Config) -> Result<(), Error> {
    for (index, migration) in migrations.iter().enumerate() {
        let version = index as i64 + 1;
        if migration.version != version {
            let text = format!("the migration {:?} has version {}, not {version}", migration.name, migration.version);
            return Err(Error::new(Kind::Migration, text));
        }
    }
    if config.migrate {
        apply(sql, migrations, config.migrate_timeout).await
    } else {
        wait(sql, migrations, config.migrate_timeout).await
    }
}

/// Applies what is missing. Each migration has a transaction of its own.
async fn apply(sql: &Sql, migrations: &'static [Migration], timeout: Duration) -> Result<(), Error> {
    let all = async {
        loop {
            match step(sql, migrations).await {
                Ok(Some(applied)) => {
                    tracing::info!(version = applied.version, name = applied.name, "migration applied");
                }
                Ok(None) => return Ok(()),
                // SQLite's lock is waited for only as long as any write waits; a migration may take longer.
                Err(error) if error.kind() == Kind::Busy => {}
                Err(error) => return Err(error),
            }
        }
    };
    tokio::time::timeout(timeout, all).await.unwrap_or_else(|_| {
        let text = format!("the migrations did not end within {timeout:?}: does another process hold their lock?");
        Err(Error::new(Kind::Migration, text))
    })
}

/// Waits until none is missing. A database that cannot be reached, or is not there yet, is waited for too.
async fn wait(sql: &Sql, migrations: &'static [Migration], timeout: Duration) -> Result<(), Error> {
    let until = Instant::now() + timeout;
    let mut told = false;
    loop {
        let cause = match look(sql, migrations).await {
            Ok(None) => return Ok(()),
            Ok(Some(missing)) => {
                Error::new(Kind::Migration, format!("the migration {} {:?} is missing", missing.version, missing.name))
            }
            // One that has been changed does not change back.
            Err(error) if error.kind() == Kind::Migration => return Err(error),
            Err(error) => error,
        };
        if !std::mem::replace(&mut told, true) {
            tracing::info!(%cause, "waiting for another process to bring the database up to date");
        }
        if Instant::now() >= until {
            let text =
                format!("no other process has brought the database up to date within {timeout:?} (--migrate does)");
            return Err(Error::new(Kind::Migration, text).with_source(cause));
        }
        tokio::time::sleep_until(until.min(Instant::now() + LOOK_INTERVAL)).await;
    }
}

/// The first migration that is missing, by reading alone.
///
/// A database that is newer will do: while processes are replaced, those of before a migration run
/// beside those of after it, and may have to start anew.
async fn look(sql: &Sql, migrations: &'static [Migration]) -> Result<Option<Migration>, Error> {
    let applied = sql.query(APPLIED, &[]).await?;
    for (row, migration) in applied.iter().zip(migrations) {
        check(Some(migration), row)?;
    }
    if applied.len() > migrations.len() {
        tracing::warn!(known = migrations.len(), applied = applied.len(), "the database is newer than the program");
    }
    Ok(migrations.get(applied.len()).copied())
}

/// Applies the first migration that is missing; `None` when none is.
///
/// The lock is taken for each step anew and ends with the transaction, so that it cannot be left
/// behind.
async fn step(sql: &Sql, migrations: &'static [Migration]) -> Result<Option<Migration>, Error> {
    let mut transaction = sql.begin().await?;
    if sql.backend() == Backend::Postgres {
        // The number is that of "seawall" and stands for all of Seawall's migrations in this database.
        transaction.query("SELECT CAST(pg_advisory_xact_lock(8314035667018016) AS TEXT)", &[]).await?;
    }
    transaction
        .execute(
            "CREATE TABLE IF NOT EXISTS seawall_migrations (version BIGINT PRIMARY KEY, name TEXT NOT NULL, \
             checksum TEXT NOT NULL, applied_time BIGINT NOT NULL)",
            &[],
        )
        .await?;
    let applied = transaction.query(APPLIED, &[]).await?;
    for (index, row) in applied.iter().enumerate() {
        check(migrations.get(index), row)?;
    }
    let Some(migration) = migrations.get(applied.len()) else {
        // Commits the table at a first start without migrations.
        transaction.commit().await?;
        return Ok(None);
    };
    run(&mut transaction, migration).await.map_err(|source| {
        let text = format!("the migration {} {:?} failed", migration.version, migration.name);
        Error::new(Kind::Migration, text).with_source(source)
    })?;
    transaction.commit().await?;
    Ok(Some(*migration))
}

/// What has been applied, in order.
const APPLIED: &str = "SELECT version, name, checksum FROM seawall_migrations ORDER BY version";

/// Whether a row of the table is the migration that stands in its place here.
fn check(migration: Option<&Migration>, row: &Row) -> Result<(), Error> {
    let (version, name): (i64, String) = (row.get("version")?, row.get("name")?);
    let checksum: String = row.get("checksum")?;
    let text = match migration {
        None => format!(
            "the database has the migration {version} {name:?}, which this program does not know: \
             the database is newer than the program"
        ),
        Some(known) if known.version != version => {
            format!(
                "the database has the migration {version} {name:?} but not the migration {} before it",
                known.version
            )
        }
        Some(known) if known.checksum() != checksum => format!(
            "the migration {version} {name:?} has been changed since it was applied: \
             put its text back, and make the change in a new migration"
        ),
        Some(_) => return Ok(()),
    };
    Err(Error::new(Kind::Migration, text))
}

async fn run(transaction: &mut Transaction<'_>, migration: &Migration) -> Result<(), Error> {
    transaction.batch(migration.sql).await?;
    // Before 1970 by a broken clock is written as 0: the time is for people to read.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let values = [
        migration.version.into(),
        migration.name.into(),
        migration.checksum().into(),
        Value::Int(now.as_millis() as i64),
    ];
    let insert = "INSERT INTO seawall_migrations (version, name, checksum, applied_time) VALUES ($1, $2, $3, $4)";
    transaction.execute(insert, &values).await.map(drop)
}
