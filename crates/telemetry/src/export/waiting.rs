//! Encoded spans that wait to be sent.
//!
//! Threads write at the ends of chunks, each to one of its own unless there are very many of them. So what is
//! written stays in the cache of the processor that writes, no two threads wait for each other, and nothing is
//! copied before it is sent. A chunk that is full waits with the others, of which there is a bounded number.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use crossbeam_queue::ArrayQueue;

use super::Finished;
use crate::encode;

/// A chunk is full when it has this much: about 250 spans.
const CHUNK_BYTES: usize = 64 * 1024;
/// What a chunk has room for at first; few spans are recorded in most processes.
const FIRST_BYTES: usize = 4 * 1024;
/// Full chunks that wait: 8 MiB, a quarter of a second of the most that two processors can serve.
const CHUNKS_MAX: usize = 128;
/// So many full ones are sent without waiting for more.
const CHUNKS_MANY: usize = 4;
/// Chunks that are written to. Threads beyond this number share them.
const OPEN_CHUNKS: usize = 32;

/// Some spans.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    bytes: Vec<u8>,
    pub(super) count: usize,
}

impl Chunk {
    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::from(self.bytes)
    }
}

#[derive(Debug)]
pub(super) struct Waiting {
    open: [Mutex<Chunk>; OPEN_CHUNKS],
    full: ArrayQueue<Chunk>,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { open: Default::default(), full: ArrayQueue::new(CHUNKS_MAX) }
    }
}

thread_local! {
    /// Which of the open chunks this thread writes to.
    static MINE: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % OPEN_CHUNKS
    };
}

impl Waiting {
    /// Adds a span, and answers how many were dropped because too many wait.
    pub(super) fn add(&self, span: &Finished) -> u64 {
        // A thread that ends may have none any more.
        let mut chunk = lock(&self.open[MINE.try_with(|mine| *mine).unwrap_or(0)]);
        if chunk.bytes.capacity() == 0 {
            chunk.bytes.reserve(FIRST_BYTES);
        }
        encode::span(&mut chunk.bytes, span);
        chunk.count += 1;
        if chunk.bytes.len() < CHUNK_BYTES {
            return 0;
        }
        let full = std::mem::take(&mut *chunk);
        drop(chunk);
        self.full.push(full).map_or_else(|dropped| dropped.count as u64, |()| 0)
    }

    pub(super) fn are_many(&self) -> bool {
        self.full.len() >= CHUNKS_MANY
    }

    pub(super) fn is_empty(&self) -> bool {
        self.full.is_empty() && self.open.iter().all(|chunk| lock(chunk).count == 0)
    }

    /// All that wait.
    pub(super) fn take(&self) -> Vec<Chunk> {
        let mut chunks: Vec<Chunk> = self.take_full().collect();
        let open = self.open.iter().map(|chunk| std::mem::take(&mut *lock(chunk)));
        chunks.extend(open.filter(|chunk| chunk.count > 0));
        chunks
    }

    /// Those in full chunks.
    pub(super) fn take_full(&self) -> impl Iterator<Item = Chunk> {
        std::iter::from_fn(|| self.full.pop()).take(CHUNKS_MAX)
    }
}

fn lock(chunk: &Mutex<Chunk>) -> MutexGuard<'_, Chunk> {
    chunk.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use seawall_trace::{Notes, SpanId, TraceContext};
    use tonic::Code;

    use super::*;
    use crate::export::What;
    use crate::series::{Kind, Table, Target};

    fn span() -> Finished {
        let series = Table::new(Kind::Server, &Target::default(), ["waiting.Is/Bounded"]).get("/waiting.Is/Bounded");
        let (context, parent, notes) = (TraceContext::root(true), SpanId::default(), Notes::default());
        let what = What::Call { series, code: Code::Ok, peer: None };
        Finished { context, parent, carried: None, start: 1, end: 2, notes, what }
    }

    #[test]
    fn threads_write_beside_each_other_and_nothing_is_lost() {
        let (waiting, span) = (Waiting::default(), span());
        assert!(waiting.is_empty());
        std::thread::scope(|scope| {
            (0..3).for_each(|_| drop(scope.spawn(|| (0..1_000).for_each(|_| assert_eq!(waiting.add(&span), 0)))));
        });
        assert!(!waiting.is_empty());
        let chunks = waiting.take();
        assert_eq!(chunks.iter().map(|chunk| chunk.count).sum::<usize>(), 3_000);
        assert!(chunks.iter().all(|chunk| chunk.bytes.len() < CHUNK_BYTES + 1_024));
        assert!(waiting.is_empty() && waiting.take().is_empty());
    }

    #[test]
    fn what_is_too_much_is_dropped_and_counted() {
        let (waiting, span) = (Waiting::default(), span());
        let (mut added, mut dropped) = (0, 0);
        while dropped == 0 {
            dropped = waiting.add(&span);
            added += 1;
        }
        let kept: usize = waiting.take().iter().map(|chunk| chunk.count).sum();
        assert_eq!(kept as u64 + dropped, added);
        assert!(waiting.add(&span) == 0, "there is room again");
    }
}
