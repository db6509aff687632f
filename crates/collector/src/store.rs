//! Spans on disk: one writer thread that is fed by a bounded queue, and readers that never wait for it.
//!
//! Nothing here fails a sender. When the disk is full or the file is locked, what arrives meanwhile
//! is lost and counted, with one line in the log when that begins and one when it ends.

mod disk;
mod reader;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use tokio::sync::{oneshot, watch};

pub use reader::Reader;

use crate::error::{Error, Kind};
use crate::queue::{self, Full};
use crate::trace::{Filter, Trace, TraceSummary};

/// Batches that may wait for the writer.
const QUEUE_BATCHES_MAX: usize = 1024;
/// What the waiting batches may take together, encoded.
const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How much is kept. Past either bound, the traces that arrived first are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Spans of all traces together.
    pub spans_max: u64,
    /// The size of the file. Its write-ahead log comes on top, a few MiB as a rule.
    pub bytes_max: u64,
}

impl Default for Bounds {
    /// 200,000 spans and 256 MiB.
    fn default() -> Self {
        Self { spans_max: 200_000, bytes_max: 256 * 1024 * 1024 }
    }
}

/// What has happened since the store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Spans that are on disk, or were until their time was over.
    pub written: u64,
    /// Spans that were lost because the queue was full or the disk failed.
    pub dropped: u64,
    /// Spans deleted to stay within the bounds.
    pub evicted: u64,
}

/// A file of traces that is being written. Clones share it; the last one to be dropped waits until
/// what was handed over is on disk.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// `None` only while it is being dropped.
    queue: Option<queue::Sender<writer::Work>>,
    stats: watch::Sender<Stats>,
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens or creates the file, and its folder if need be, and starts the writer.
    ///
    /// A corrupt file is moved aside, to the same name with `.corrupt` behind it, which the log says.
    /// A file that cannot be opened is tried again later.
    ///
    /// # Errors
    /// When the file is a database of something else, or the writer thread cannot be started.
    pub fn open(path: impl Into<PathBuf>, bounds: Bounds) -> Result<Self, Error> {
        let path = path.into();
        let (sender, receiver) = queue::queue(QUEUE_BATCHES_MAX, QUEUE_BYTES_MAX);
        let (stats, closing) = (watch::Sender::new(Stats::default()), Arc::new(AtomicBool::new(false)));
        let writer = writer::Writer::try_new(&path, bounds, stats.clone(), Arc::clone(&closing))?;
        let thread = std::thread::Builder::new()
            .name("seawall-traces".to_owned())
            .spawn(move || writer.run(receiver))
            .map_err(|source| Kind::File { path: path.clone(), source })?;
        Ok(Self(Arc::new(Inner { path, queue: Some(sender), stats, closing, thread: Some(thread) })))
    }

    /// Hands spans to the writer, if there is room right now. Spans without valid ids must have been
    /// taken out.
    pub(crate) fn write(&self, batch: Vec<ResourceSpans>) -> Result<(), Full> {
        let bytes = batch.iter().map(prost::Message::encoded_len).sum();
        let spans: u64 =
            batch.iter().flat_map(|resource| &resource.scope_spans).map(|scope| scope.spans.len() as u64).sum();
        let sent =
            self.0.queue.as_ref().ok_or(Full).and_then(|queue| queue.try_send(writer::Work::Batch(batch), bytes));
        if sent.is_err() {
            self.0.stats.send_modify(|stats| stats.dropped += spans);
        }
        sent
    }

    /// Waits until everything handed over before is on disk, or lost and counted. Cancel-safe.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        let Some(queue) = &self.0.queue else { return };
        if queue.send(writer::Work::Flush(done)).await.is_ok() {
            // An error means that the writer has ended, and then there is nothing to wait for.
            let _ = flushed.await;
        }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The counts as they are, to be read or waited for.
    pub fn stats(&self) -> watch::Receiver<Stats> {
        self.0.stats.subscribe()
    }

    /// As [`Reader::recent`]. Blocks its thread for as long as the disk takes.
    ///
    /// # Errors
    /// As [`Reader::recent`].
    pub fn recent(&self, limit: usize, filter: &Filter) -> Result<Vec<TraceSummary>, Error> {
        Reader::open(&self.0.path)?.recent(limit, filter)
    }

    /// As [`Reader::trace`]. Blocks its thread for as long as the disk takes.
    ///
    /// # Errors
    /// As [`Reader::trace`].
    pub fn trace(&self, id_or_prefix: &str) -> Result<Option<Trace>, Error> {
        Reader::open(&self.0.path)?.trace(id_or_prefix)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // From here on the writer gives up at its first failure, so that a locked file delays the
        // end by one busy timeout and not by one for each batch.
        self.closing.store(true, Ordering::Relaxed);
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has said so, and there is nothing left to do for it.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
