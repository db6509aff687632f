//! The I/O of a connection, watched: a peer that does not behave is told so and cut off.
//!
//! hyper answers PING and SETTINGS by itself and tells nobody, so the frames are read here as they
//! pass. Their payloads are not looked at.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use seawall_frames::Frames;
use seawall_frames::kind::{CONTINUATION, GOAWAY, HEADERS};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::conduct::{Conduct, Cut};

/// `ENHANCE_YOUR_CALM` (RFC 9113, section 7).
const ENHANCE_YOUR_CALM: u32 = 0xb;
/// How much of what nobody will read is read at the end, and how much at a time.
const UNREAD_BYTES_MAX: usize = 64 * 1024;
const UNREAD_READ_BYTES: usize = 4 * 1024;

#[derive(Debug)]
pub(super) struct Watched<I: AsyncRead + Unpin> {
    io: I,
    conduct: Conduct,
    received: Frames,
    sent: Frames,
    handshake_timeout: Duration,
    /// While the handshake or the headers of a call have begun and not ended.
    timer: Option<Pin<Box<Sleep>>>,
    /// Why the connection was cut: hyper's error does not tell.
    cut: Arc<OnceLock<Cut>>,
}

impl<I: AsyncRead + AsyncWrite + Unpin> Watched<I> {
    pub(super) fn new(io: I, conduct: Conduct, handshake_timeout: Duration, cut: Arc<OnceLock<Cut>>) -> Self {
        let timer = Some(Box::pin(sleep(handshake_timeout)));
        let (received, sent) = (Frames::of_client(), Frames::of_server());
        Self { io, conduct, received, sent, handshake_timeout, timer, cut }
    }

    /// Says good-bye, if that can be said between two frames and without waiting, and ends the
    /// connection.
    fn cut(&mut self, cx: &mut Context<'_>, cut: Cut) -> io::Error {
        if self.sent.is_between() && self.conduct.has_shaken_hands() {
            let _ = Pin::new(&mut self.io).poll_write(cx, &goaway(cut));
            let _ = Pin::new(&mut self.io).poll_flush(cx);
        }
        let _ = self.cut.set(cut);
        io::Error::new(io::ErrorKind::ConnectionAborted, cut)
    }

    /// Whether the peer owes the rest of something, and has owed it for too long.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<Cut> {
        let owes_headers =
            self.conduct.has_headers_open() || matches!(self.received.open(), Some(HEADERS | CONTINUATION));
        if self.conduct.has_shaken_hands() && !owes_headers {
            self.timer = None;
            return Poll::Pending;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(self.handshake_timeout)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(if self.conduct.has_shaken_hands() { Cut::SlowHeaders } else { Cut::NoHandshake })
    }

    fn judge_received(&mut self, mut bytes: &[u8]) -> Result<(), Cut> {
        while let Some(frame) = self.received.next(&mut bytes) {
            self.conduct.received(frame, Instant::now)?;
        }
        Ok(())
    }

    fn note_sent(&mut self, mut bytes: &[u8]) {
        while let Some(frame) = self.sent.next(&mut bytes) {
            self.conduct.sent(frame);
        }
    }
}

impl<I: AsyncRead + Unpin> Drop for Watched<I> {
    /// Reads what has come and nobody will read. A socket that is closed with something unread in it
    /// resets the connection, and the peer may lose what it was told last.
    fn drop(&mut self) {
        let (mut bytes, mut cx) = ([0; UNREAD_READ_BYTES], Context::from_waker(Waker::noop()));
        for _ in 0..UNREAD_BYTES_MAX / UNREAD_READ_BYTES {
            let mut buf = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.io).poll_read(&mut cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
                Poll::Ready(_) | Poll::Pending => break,
            }
        }
    }
}

/// The frame, with the reason as its debug data. Calls that were begun may have been worked on, so no
/// last stream is named.
fn goaway(cut: Cut) -> Vec<u8> {
    let reason = cut.name().as_bytes();
    let mut frame = vec![0, 0, 8 + reason.len() as u8, GOAWAY, 0, 0, 0, 0, 0];
    frame.extend(i32::MAX.to_be_bytes());
    frame.extend(ENHANCE_YOUR_CALM.to_be_bytes());
    frame.extend(reason);
    frame
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncRead for Watched<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buf);
        if let Poll::Ready(Ok(())) = read
            && let Err(cut) = this.judge_received(&buf.filled()[before..])
        {
            return Poll::Ready(Err(this.cut(cx, cut)));
        }
        // Also when something came: what comes byte by byte is late as well.
        match this.poll_overdue(cx) {
            Poll::Ready(cut) => Poll::Ready(Err(this.cut(cx, cut))),
            Poll::Pending => read,
        }
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, buf))?;
        self.note_sent(&buf[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bufs))?;
        let mut rest = written;
        for buf in bufs {
            let taken = buf.len().min(rest);
            self.note_sent(&buf[..taken]);
            rest -= taken;
        }
        Poll::Ready(Ok(written))
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
