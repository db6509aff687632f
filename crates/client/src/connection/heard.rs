//! The I/O of a connection, on which is heard what the peer says of it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use super::frames::{Frames, Said};

/// What the peer has said so far.
#[derive(Debug)]
pub(super) struct Heard {
    is_settled: AtomicBool,
    settled: Notify,
    streams_max: AtomicUsize,
    has_too_many_pings: AtomicBool,
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
            room,
        }
    }

    /// Waits for the peer's first settings, which it sends before anything else.
    pub(super) async fn settled(&self) {
        while !self.is_settled.load(Ordering::Acquire) {
            self.settled.notified().await;
        }
    }

    /// How many calls it takes at a time.
    pub(super) fn streams_max(&self) -> usize {
        self.streams_max.load(Ordering::Relaxed)
    }

    /// Whether it goes away because it was probed too often.
    pub(super) fn has_too_many_pings(&self) -> bool {
        self.has_too_many_pings.load(Ordering::Relaxed)
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

/// The I/O.
#[derive(Debug)]
pub(super) struct Hearing<I> {
    io: I,
    frames: Frames,
    heard: Arc<Heard>,
}

impl<I> Hearing<I> {
    pub(super) fn new(io: I, heard: Arc<Heard>) -> Self {
        Self { io, frames: Frames::default(), heard }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Hearing<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        this.frames.read(&buf.filled()[before..], |said| this.heard.hear(said));
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Hearing<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
