//! The I/O of a connection, watched: a peer that does not behave is told so and cut off.
//!
//! hyper answers PING and SETTINGS by itself and tells nobody, so the frames are read here as they
//! pass. Their payloads are not looked at.
//!
//! What is written waits until hyper has read all that there is and has nothing more to say: then it is
//! sent at once. hyper itself would send each answer before it looks at the next call, and the system
//! call costs more than the answer.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
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

/// What waits to be sent, at most; then it is sent before more is taken.
const OUTBOX_BYTES_MAX: usize = 64 * 1024;
/// What a connection keeps of the memory for that.
const OUTBOX_BYTES_KEPT: usize = 8 * 1024;

/// The I/O, of which hyper has one clone, and who drives hyper another one.
#[derive(Debug)]
pub(super) struct Shared<I: AsyncRead + Unpin>(Arc<Mutex<Watched<I>>>);

impl<I: AsyncRead + Unpin> Clone for Shared<I> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Shared<I> {
    pub(super) fn new(io: I, conduct: Conduct, handshake_timeout: Duration, cut: Arc<OnceLock<Cut>>) -> Self {
        Self(Arc::new(Mutex::new(Watched::new(io, conduct, handshake_timeout, cut))))
    }

    /// Sends what was written. Ready when all of it is with the system.
    pub(super) fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().poll_send(cx)
    }

    /// Nobody else has it at the same time: both belong to one task.
    fn lock(&self) -> MutexGuard<'_, Watched<I>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Watched<I: AsyncRead + Unpin> {
    io: I,
    /// What was written and not sent.
    outbox: BytesMut,
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
    fn new(io: I, conduct: Conduct, handshake_timeout: Duration, cut: Arc<OnceLock<Cut>>) -> Self {
        let timer = Some(Box::pin(sleep(handshake_timeout)));
        let (received, sent) = (Frames::of_client(), Frames::of_server());
        let outbox = BytesMut::new();
        Self { io, outbox, conduct, received, sent, handshake_timeout, timer, cut }
    }

    /// Says good-bye, if that can be said between two frames and without waiting, and ends the
    /// connection.
    fn cut(&mut self, cx: &mut Context<'_>, cut: Cut) -> io::Error {
        if self.sent.is_between() && self.conduct.has_shaken_hands() {
            self.outbox.extend_from_slice(&goaway(cut));
            let _ = self.poll_send(cx);
        }
        let _ = self.cut.set(cut);
        io::Error::new(io::ErrorKind::ConnectionAborted, cut)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.outbox.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !self.outbox.is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.outbox))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.outbox.advance(sent),
            }
        }
        self.outbox.clear();
        if self.outbox.capacity() > OUTBOX_BYTES_KEPT {
            self.outbox = BytesMut::new();
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Takes as much as there is room for, which is made where there is none.
    fn poll_take(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.outbox.len() >= OUTBOX_BYTES_MAX {
            ready!(self.poll_send(cx))?;
        }
        let taken = &buf[..buf.len().min(OUTBOX_BYTES_MAX - self.outbox.len())];
        self.note_sent(taken);
        self.outbox.extend_from_slice(taken);
        Poll::Ready(Ok(taken.len()))
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

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncRead for Shared<I> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self.lock();
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

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Shared<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.lock().poll_take(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let (mut this, mut all) = (self.lock(), 0);
        for buf in bufs {
            let taken = match this.poll_take(cx, buf) {
                Poll::Ready(taken) => taken?,
                Poll::Pending if all == 0 => return Poll::Pending,
                Poll::Pending => break,
            };
            all += taken;
            if taken < buf.len() {
                break;
            }
        }
        Poll::Ready(Ok(all))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Is done by whoever drives the connection, when it has been polled.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut this = self.lock();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};

    use super::*;

    /// Counts how often it is written to.
    struct Counted(DuplexStream, Arc<AtomicUsize>);

    impl AsyncRead for Counted {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buf)
        }
    }

    impl AsyncWrite for Counted {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            self.1.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut self.0).poll_write(cx, buf)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }

    fn watched(buffer: usize) -> (Shared<Counted>, DuplexStream, Arc<AtomicUsize>) {
        let (io, peer) = duplex(buffer);
        let writes = Arc::<AtomicUsize>::default();
        let conduct = Conduct::new(Duration::from_secs(1), 100, Instant::now());
        let io = Shared::new(Counted(io, Arc::clone(&writes)), conduct, Duration::from_secs(10), Arc::default());
        (io, peer, writes)
    }

    /// Writes a frame of a kind that nobody knows, and flushes.
    fn answer(io: &mut Shared<Counted>, cx: &mut Context<'_>) -> Poll<usize> {
        let mut frame = [7; 1_009];
        frame[..9].copy_from_slice(&[0, 3, 232, 0xfa, 0, 0, 0, 0, 0]);
        let written = ready!(Pin::new(&mut *io).poll_write(cx, &frame)).unwrap();
        assert!(Pin::new(io).poll_flush(cx).is_ready());
        Poll::Ready(written)
    }

    #[tokio::test]
    async fn what_is_written_between_two_waits_is_sent_at_once() {
        let (mut io, mut peer, writes) = watched(1 << 20);
        let mut cx = Context::from_waker(Waker::noop());
        (0..10).for_each(|_| assert_eq!(answer(&mut io, &mut cx), Poll::Ready(1_009)));
        assert_eq!(writes.load(Ordering::Relaxed), 0);
        assert!(io.poll_send(&mut cx).is_ready());
        assert_eq!(writes.load(Ordering::Relaxed), 1);
        assert!(io.poll_send(&mut cx).is_ready());
        assert_eq!(writes.load(Ordering::Relaxed), 1, "there was nothing");
        let mut read = vec![0; 10 * 1_009];
        peer.read_exact(&mut read).await.unwrap();
        assert_eq!(&read[9 * 1_009..][..4], [0, 3, 232, 0xfa]);
    }

    #[tokio::test]
    async fn a_peer_that_does_not_read_has_no_more_kept_for_it_than_there_is_room_for() {
        const BUFFER: usize = 4 * 1_024;
        let (mut io, mut peer, _) = watched(BUFFER);
        let mut cx = Context::from_waker(Waker::noop());
        let mut written = 0;
        while let Poll::Ready(more) = answer(&mut io, &mut cx) {
            written += more;
            assert!(written <= OUTBOX_BYTES_MAX + BUFFER, "{written} bytes were taken");
        }
        assert!(written >= OUTBOX_BYTES_MAX);
        // All of it arrives once the peer reads.
        let mut read = vec![0; written];
        let send = std::future::poll_fn(|cx| io.poll_send(cx));
        let (sent, received) = tokio::join!(send, peer.read_exact(&mut read));
        assert_eq!((sent.is_ok(), received.unwrap()), (true, written));
    }
}
