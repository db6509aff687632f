//! The databases of the shops, all in one folder that goes with them.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use harness::{cpu_time, pinned, tool};
use seawall_backends::{Options, Postgres, RunningPostgres, free_port};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::subjects::{Engine, SHOP_CORE};

/// Files of SQLite, and a PostgreSQL on the processor of the shops.
#[derive(Debug)]
pub(crate) struct Databases {
    runtime: Runtime,
    postgres: Option<RunningPostgres>,
    folder: TempDir,
}

impl Databases {
    /// Makes a folder in `data` and starts what the engines need. PostgreSQL is installed by apt-get if it is not
    /// there and we may install it.
    pub(crate) fn start(data: &Path, engines: &[Engine]) -> Result<Self> {
        // PostgreSQL does not run as root, and its user has to get there.
        let everybody = fs::Permissions::from_mode(0o755);
        let folder = tempfile::Builder::new().prefix("seawall-shop-").permissions(everybody).tempdir_in(data);
        let folder = folder.with_context(|| format!("{} cannot have the databases", data.display()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let postgres = match engines.contains(&Engine::Postgres) {
            true => Some(pinned(SHOP_CORE, || start_postgres(folder.path(), &runtime))?),
            false => None,
        };
        Ok(Self { runtime, postgres, folder })
    }

    /// The URL of a database of this name, which is made where that has to be done beforehand.
    pub(crate) fn url(&self, engine: Engine, name: &str) -> Result<String> {
        match engine {
            Engine::Sqlite => Ok(format!("sqlite://{}/{name}.db", self.folder.path().display())),
            Engine::Postgres => {
                let postgres = self.postgres.as_ref().context("PostgreSQL was not started")?;
                self.runtime.block_on(postgres.create_database(name))?;
                Ok(postgres.url(name))
            }
        }
    }

    /// What PostgreSQL has used so far, by process.
    pub(crate) fn cpu_times(&self) -> CpuTimes {
        let Some(postgres) = &self.postgres else { return CpuTimes::default() };
        let children = format!("/proc/{0}/task/{0}/children", postgres.pid());
        let children = fs::read_to_string(children).unwrap_or_default();
        let ids = children.split_whitespace().filter_map(|id| id.parse().ok()).chain([postgres.pid()]);
        // One that has ended meanwhile has done little.
        CpuTimes(ids.filter_map(|id| Some((id, cpu_time(id).ok()?))).collect())
    }

    /// Ends the server, and removes all there is.
    pub(crate) fn end(mut self) -> Result<()> {
        if let Some(postgres) = self.postgres.take() {
            self.runtime.block_on(postgres.stop());
        }
        Ok(self.folder.close()?)
    }
}

/// Finds it as the tests do, or installs it.
fn start_postgres(folder: &Path, runtime: &Runtime) -> Result<RunningPostgres> {
    let found = Postgres::find().or_else(|_| {
        // Debian keeps the server itself off the PATH, and this on it.
        tool("pg_ctlcluster", "postgresql")?;
        anyhow::Ok(Postgres::find()?)
    })?;
    let (data, log) = (folder.join("postgres"), folder.join("postgres.log"));
    // As in production: what was acknowledged is on the disk, if `folder` is.
    let options = Options { remove_at_end: Some(data.clone()), ..Options::default() };
    Ok(runtime.block_on(found.start(&data, free_port()?, &log, options))?)
}

/// Processor time by process.
#[derive(Debug, Default)]
pub(crate) struct CpuTimes(HashMap<u32, Duration>);

impl CpuTimes {
    /// What was used since, by those that still run.
    pub(crate) fn since(&self, before: &Self) -> Duration {
        let used = |(id, time): (&u32, &Duration)| time.saturating_sub(before.0.get(id).copied().unwrap_or_default());
        self.0.iter().map(used).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_new_process_has_used_counts_and_one_that_has_ended_does_not() {
        let times = |times: &[(u32, u64)]| {
            CpuTimes(times.iter().map(|(id, millis)| (*id, Duration::from_millis(*millis))).collect())
        };
        let (before, after) = (times(&[(1, 10), (2, 700)]), times(&[(1, 15), (3, 4)]));
        assert_eq!(after.since(&before), Duration::from_millis(9));
    }
}
