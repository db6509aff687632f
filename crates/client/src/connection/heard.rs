//! The I/O of a connection, on which is heard what the peer says of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::io::InspectReader;

use super::dialler::nanos;
use super::said::{Reader, Said};

/// What the peer has said so far.
#[derive(Debug)]
pub(super) struct Heard {
    is_settled: AtomicBool,
    settled: Notify,
    streams_max: AtomicUsize,
    has_too_many_pings: AtomicBool,
    begun: Instant,
    /// When something was last read, in nanoseconds since then.
    last: AtomicU64,
    /// Told when there may be more room.
    room: Arc<Notify>,
}

impl Heard {
    pub(super) fn new(room: Arc<Notify>) -> Self {
        Self {
            is_settled: AtomicBool::new(false),
            settled: Notify::new(),
            // Without a word of it there is no limit (RFC 9113, 6.5.2).
            streams_max: AtomicUsize::new(usize::MAX),
            has_too_many_pings: AtomicBool::new(false),
            begun: Instant::now(),
            last: AtomicU64::new(0),
            room,
        }
    }

    /// Waits for the peer's first settings, which it sends before anything else.
    pub(super) async fn settled(&self) {
        while !self.is_settled() {
            self.settled.notified().await;
        }
    }

    /// Whether they have come.
    pub(super) fn is_settled(&self) -> bool {
        self.is_settled.load(Ordering::Acquire)
    }

    /// How many calls it takes at a time.
    pub(super) fn streams_max(&self) -> usize {
        self.streams_max.load(Ordering::Relaxed)
    }

    /// Whether it goes away because it was probed too often.
    pub(super) fn has_too_many_pings(&self) -> bool {
        self.has_too_many_pings.load(Ordering::Relaxed)
    }

    /// When something has last come from it.
    pub(super) fn last(&self) -> Instant {
        self.begun + Duration::from_nanos(self.last.load(Ordering::Relaxed))
    }

    fn hear(&self, said: Said) {
        match said {
            Said::Settings(streams_max) => {
                if let Some(max) = streams_max {
                    self.streams_max.store(max as usize, Ordering::Relaxed);
                }
                self.is_settled.store(true, Ordering::Release);
                self.settled.notify_one();
                self.room.notify_waiters();
            }
            Said::TooManyPings => self.has_too_many_pings.store(true, Ordering::Relaxed),
        }
    }
}

/// The I/O, of which every byte that is read is heard.
pub(super) fn hearing<I: AsyncRead>(io: I, heard: Arc<Heard>) -> InspectReader<I, impl FnMut(&[u8])> {
    let mut reader = Reader::new();
    InspectReader::new(io, move |bytes| {
        heard.last.store(nanos(heard.begun.elapsed()), Ordering::Relaxed);
        reader.read(bytes, |said| heard.hear(said));
    })
}
