//! Migrations: embedded in the program, applied in order at start, under a lock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::{Error, Kind};
use crate::lease::Transaction;
use crate::value::Value;
use crate::{Backend, Sql};

/// How long a start waits for the migrations of another process.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);

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

/// Applies what is missing. Each migration has a transaction of its own.
pub(crate) async fn apply(sql: &Sql, migrations: &'static [Migration]) -> Result<(), Error> {
    for (index, migration) in migrations.iter().enumerate() {
        let version = index as i64 + 1;
        if migration.version != version {
            let text = format!("the migration {:?} has version {}, not {version}", migration.name, migration.version);
            return Err(Error::new(Kind::Migration, text));
        }
    }
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
    tokio::time::timeout(LOCK_TIMEOUT, all).await.unwrap_or_else(|_| {
        let text = format!("the migrations did not end within {LOCK_TIMEOUT:?}: does another process hold their lock?");
        Err(Error::new(Kind::Migration, text))
    })
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
    let applied =
        transaction.query("SELECT version, name, checksum FROM seawall_migrations ORDER BY version", &[]).await?;
    for (index, row) in applied.iter().enumerate() {
        check(
            migrations.get(index),
            row.get("version")?,
            &row.get::<String>("name")?,
            &row.get::<String>("checksum")?,
        )?;
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

fn check(migration: Option<&Migration>, version: i64, name: &str, checksum: &str) -> Result<(), Error> {
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
