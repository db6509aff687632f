//! The thread that owns the connection for writing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use tokio::sync::{mpsc, oneshot, watch};

use super::disk::{Disk, Row};
use super::{Bounds, Stats};
use crate::error::{Error, chain};
use crate::queue::Queued;
use crate::spell::Spell;

/// How long a file that cannot be opened is left alone.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) enum Work {
    Batch(Vec<ResourceSpans>),
    Flush(oneshot::Sender<()>),
}

pub(super) struct Writer {
    path: PathBuf,
    bounds: Bounds,
    disk: Option<Disk>,
    opened: Instant,
    stats: watch::Sender<Stats>,
    closing: Arc<AtomicBool>,
    spell: Spell,
}

impl Writer {
    /// Fails only where trying again cannot help.
    pub(super) fn try_new(
        path: &Path,
        bounds: Bounds,
        stats: watch::Sender<Stats>,
        closing: Arc<AtomicBool>,
    ) -> Result<Self, Error> {
        let mut writer = Self {
            path: path.to_owned(),
            bounds,
            disk: None,
            opened: Instant::now(),
            stats,
            closing,
            spell: Spell::default(),
        };
        match Disk::open(path, bounds) {
            Ok(disk) => writer.disk = Some(disk),
            Err(error) if error.is_foreign() => return Err(error),
            Err(error) => writer.failed(0, Some(&error)),
        }
        Ok(writer)
    }

    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Queued<Work>>) {
        while let Some(Queued { item, .. }) = queue.blocking_recv() {
            match item {
                Work::Batch(batch) => self.write(Row::all(batch)),
                // Whoever asked may have gone.
                Work::Flush(done) => drop(done.send(())),
            }
        }
    }

    pub(super) fn write(&mut self, rows: Vec<Row>) {
        let spans = rows.len() as u64;
        match self.insert(&rows) {
            Ok(true) => self.stats.send_modify(|stats| stats.written += spans),
            Ok(false) => return self.failed(spans, None),
            Err(error) => return self.failed(spans, Some(&error)),
        }
        match self.disk.as_mut().map_or(Ok(0), Disk::evict) {
            Ok(evicted) => {
                if evicted > 0 {
                    self.stats.send_modify(|stats| stats.evicted += evicted);
                }
                if let Some(dropped) = self.spell.worked() {
                    tracing::info!(path = %self.path.display(), dropped, "traces are being kept again");
                }
            }
            Err(error) => self.failed(0, Some(&error)),
        }
    }

    /// False if the disk is not to be tried now.
    fn insert(&mut self, rows: &[Row]) -> Result<bool, Error> {
        if self.closing.load(Ordering::Relaxed) && self.spell.is_on() {
            return Ok(false);
        }
        // SQLite would go on writing into a deleted file, which no reader can find.
        if self.disk.is_some() && !self.path.exists() {
            self.disk = None;
        } else if self.disk.is_none() && self.opened.elapsed() < REOPEN_INTERVAL {
            return Ok(false);
        }
        match self.opened()?.insert(rows) {
            Err(error) if error.is_unusable() => {
                self.disk = None;
                Disk::move_aside(&self.path, &error)?;
                self.opened()?.insert(rows)?;
            }
            done => done?,
        }
        Ok(true)
    }

    fn opened(&mut self) -> Result<&mut Disk, Error> {
        match &mut self.disk {
            Some(disk) => Ok(disk),
            closed => {
                self.opened = Instant::now();
                Ok(closed.insert(Disk::open(&self.path, self.bounds)?))
            }
        }
    }

    fn failed(&mut self, spans: u64, error: Option<&Error>) {
        if spans > 0 {
            self.stats.send_modify(|stats| stats.dropped += spans);
        }
        if self.spell.failed(spans) {
            let cause = error.map_or_else(|| "it could not be opened".to_owned(), |error| chain(error));
            let path = self.path.display();
            tracing::error!(%path, cause, "traces are not being kept; spans are dropped until this ends");
        }
    }
}
