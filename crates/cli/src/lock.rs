//! One `up` a workspace: whoever holds the lock on `up.lock` is it.
//!
//! The kernel drops the lock when its holder ends, however it ends, so the lock and not the state
//! file says whether something runs.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// How often and how long a lock is asked for again: `is_held` of another process holds it for a moment.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);
const RETRY_TIMEOUT: Duration = Duration::from_millis(200);

/// Held as long as it lives.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, or nothing if somebody else holds it.
    pub(crate) async fn take(path: &Path) -> Result<Option<Self>> {
        let file = open(path)?;
        let give_up = Instant::now() + RETRY_TIMEOUT;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Self { _file: file })),
                Err(TryLockError::WouldBlock) if Instant::now() < give_up => {
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("{} cannot be locked", path.display()));
                }
            }
        }
    }
}

/// Whether an `up` holds the lock.
pub(crate) fn is_held(path: &Path) -> Result<bool> {
    if !path.exists() {
        return Ok(false);
    }
    match open(path)?.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("{} cannot be locked", path.display())),
    }
}

fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path).with_context(|| format!("{} cannot be opened", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_one_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("up.lock");
        assert!(!is_held(&path).unwrap());
        let lock = Lock::take(&path).await.unwrap().expect("nobody holds it");
        assert!(is_held(&path).unwrap());
        assert!(Lock::take(&path).await.unwrap().is_none());
        drop(lock);
        // A process that another test starts has the files of this one until it runs its program.
        let is_free = async {
            while is_held(&path).unwrap() {
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), is_free).await.expect("nobody holds it any more");
        assert!(Lock::take(&path).await.unwrap().is_some());
    }
}
