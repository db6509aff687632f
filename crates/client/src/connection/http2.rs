//! HTTP/2 on one connection, by h2 itself.
//!
//! Not by hyper, which has one task send each request and another wait for each answer, and hands both over by
//! channels: a fifth of what a call costs. Here a call sends by itself, and the task that reads the connection
//! wakes it. What hyper does besides is done here too: the connection is probed while there are calls on it, and
//! ends when nobody is left who could call.

use std::future::pending;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::poll_fn;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, SendStream};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::line::Usage;

/// How much of an answer, and of all answers together, the peer may send before it is read.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 5 << 20;
/// How much of a request that comes in pieces is taken before it is sent.
const SEND_BUFFER_BYTES: usize = 1 << 20;
/// The longest headers of an answer.
const HEADERS_BYTES_MAX: u32 = 16 << 10;
/// How many streams that the peer gets wrong are reset before the connection is given up.
const ERRORS_MAX: usize = 1_024;

/// The way to send on a connection. Clones are the same; the connection ends with the last one, after its calls.
#[derive(Debug, Clone)]
pub(super) struct Sender(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    requests: Mutex<SendRequest<Bytes>>,
    end: Arc<End>,
    /// Dropped last: h2 does not look whether anybody is left unless it is polled.
    _left: Leaving,
}

#[derive(Debug)]
struct Leaving(Arc<Notify>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// That a connection takes no more calls, and why.
#[derive(Debug)]
pub(super) struct End {
    is_there: AtomicBool,
    why: watch::Sender<Option<Result<(), String>>>,
}

impl End {
    fn comes(&self, why: Result<(), String>) {
        self.is_there.store(true, Ordering::Relaxed);
        self.why.send_if_modified(|known| {
            let is_first = known.is_none();
            known.get_or_insert(why);
            is_first
        });
    }

    /// Waits for it.
    pub(super) async fn come(&self) -> io::Result<()> {
        let mut why = self.why.subscribe();
        let why = why.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        why.unwrap_or(Ok(())).map_err(io::Error::other)
    }
}

/// How a connection is probed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probes {
    /// How long nothing has come from the peer by then.
    pub(super) interval: Duration,
    /// How long the answer may take.
    pub(super) timeout: Duration,
}

/// Speaks HTTP/2 over `io`, on a task of its own.
pub(super) async fn connect<I>(io: I, usage: Arc<Usage>, probes: Probes) -> io::Result<(Sender, Arc<End>)>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (requests, mut connection) = Builder::new()
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .max_local_error_reset_streams(Some(ERRORS_MAX))
        .enable_push(false)
        .handshake(io)
        .await
        .map_err(io::Error::other)?;
    let end = Arc::new(End { is_there: AtomicBool::new(false), why: watch::Sender::new(None) });
    let left = Arc::new(Notify::new());
    let ping = connection.ping_pong();
    let (told, leaving) = (Arc::clone(&end), Arc::clone(&left));
    tokio::spawn(Box::pin(async move {
        let ended = driven(connection, &leaving, probed(ping, &usage, probes)).await;
        told.comes(ended);
    }));
    let shared = Shared { requests: Mutex::new(requests), end: Arc::clone(&end), _left: Leaving(left) };
    Ok((Sender(Arc::new(shared)), end))
}

async fn driven<I>(
    mut connection: Connection<I, Bytes>,
    left: &Notify,
    probed: impl Future<Output = ()>,
) -> Result<(), String>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let mut probed = pin!(probed);
    loop {
        tokio::select! {
            biased;
            ended = &mut connection => return ended.map_err(|error| error.to_string()),
            () = &mut probed => return Err("the peer does not answer".to_owned()),
            // Now it looks.
            () = left.notified() => {}
        }
    }
}

/// Probes the connection when nothing has come for a while, though there are calls on it. Ends when there is no
/// answer.
async fn probed(ping: Option<PingPong>, usage: &Usage, probes: Probes) {
    let Some(mut ping) = ping else { return pending().await };
    loop {
        let due = usage.heard().last() + probes.interval;
        if due > Instant::now() {
            sleep_until(due).await;
        } else if usage.is_idle() {
            sleep(probes.interval).await;
        } else if ping.send_ping(Ping::opaque()).is_err() {
            // The connection itself says why.
            return pending().await;
        } else if let Ok(answer) = timeout(probes.timeout, poll_fn(|cx| ping.poll_pong(cx))).await {
            if answer.is_err() {
                return pending().await;
            }
        } else {
            return;
        }
    }
}

impl Sender {
    /// Whether the connection takes no more calls, as far as is known.
    pub(super) fn is_closed(&self) -> bool {
        self.0.end.is_there.load(Ordering::Relaxed)
    }

    /// Whether a stream can be opened, as it is now.
    pub(super) fn check(&self) -> Result<(), h2::Error> {
        let mut requests = self.lock();
        let ready = match requests.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(ready) => ready,
            Poll::Pending => {
                // The last stream waits for room. Calls have counted the room that there is; if it has become less
                // since, each may wait.
                *requests = requests.clone();
                Ok(())
            }
        };
        drop(requests);
        ready.inspect_err(|error| self.0.end.comes(Err(error.to_string())))
    }

    /// Opens a stream. What fails has not been sent.
    pub(super) fn open(
        &self,
        request: Request<()>,
        is_whole: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        self.lock().send_request(request, is_whole)
    }

    fn lock(&self) -> MutexGuard<'_, SendRequest<Bytes>> {
        self.0.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
