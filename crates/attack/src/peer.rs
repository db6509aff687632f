//! A connection as an attacker has it: it writes what it wants, and sees what the server does with it.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::frames::{ACK, DATA, END_STREAM, HEADERS, PAYLOAD_BYTES_MAX, RST_STREAM, SETTINGS, frame};

/// What the server has done so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Streams that it has reset or answered to the end.
    pub(crate) ended: BTreeSet<u32>,
    /// Streams whose answer has begun.
    pub(crate) answered: BTreeSet<u32>,
    /// Whether it has closed the connection.
    pub(crate) closed: bool,
}

/// One connection. Dropped, it is closed.
#[derive(Debug)]
pub(crate) struct Peer {
    write: OwnedWriteHalf,
    seen: watch::Receiver<Seen>,
    reader: JoinHandle<()>,
}

impl Peer {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("the service takes no connection")?;
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        let (sender, seen) = watch::channel(Seen::default());
        Ok(Self { write, seen, reader: tokio::spawn(watch(read, sender)) })
    }

    /// Writes all of it. `false` if the server has closed the connection.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        if self.seen.borrow().closed {
            return false;
        }
        tokio::select! {
            written = self.write.write_all(bytes) => written.is_ok(),
            // A server that reads nothing more may still be there.
            () = closed(self.seen.clone()) => false,
        }
    }

    /// Writes again and again, what `next` makes of the number of the time, until the server closes the
    /// connection.
    pub(crate) async fn flood(&mut self, mut next: impl FnMut(u32) -> Vec<u8>) {
        for n in 0.. {
            if !self.send(&next(n)).await {
                return;
            }
        }
    }

    /// Returns when the server has closed the connection.
    pub(crate) async fn closed(&mut self) {
        closed(self.seen.clone()).await;
    }

    /// Returns when the server has ended these streams, or the whole connection.
    pub(crate) async fn ended(&mut self, streams: impl Iterator<Item = u32>) {
        let streams: Vec<u32> = streams.collect();
        let ended = |seen: &Seen| seen.closed || streams.iter().all(|stream| seen.ended.contains(stream));
        // An error is the end of the reader, and so of the connection.
        let _ = self.seen.wait_for(ended).await;
    }

    /// Returns when the server has begun to answer this stream, or closed the connection.
    pub(crate) async fn answered(&mut self, stream: u32) {
        let _ = self.seen.wait_for(|seen| seen.closed || seen.answered.contains(&stream)).await;
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn closed(mut seen: watch::Receiver<Seen>) {
    let _ = seen.wait_for(|seen| seen.closed).await;
}

/// Reads frames until there are no more.
async fn watch(mut read: OwnedReadHalf, seen: watch::Sender<Seen>) {
    let mut payload = vec![0; PAYLOAD_BYTES_MAX];
    let mut header = [0; 9];
    while read.read_exact(&mut header).await.is_ok() {
        let [a, b, c, kind, flags, stream @ ..] = header;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let Some(payload) = payload.get_mut(..length) else { break };
        if read.read_exact(payload).await.is_err() {
            break;
        }
        if kind == HEADERS {
            seen.send_modify(|seen| _ = seen.answered.insert(u32::from_be_bytes(stream)));
        }
        let is_end = kind == RST_STREAM || matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0;
        if is_end {
            seen.send_modify(|seen| _ = seen.ended.insert(u32::from_be_bytes(stream)));
        }
    }
    seen.send_modify(|seen| seen.closed = true);
}

/// The answer to the SETTINGS of the server.
pub(crate) fn settings_ack() -> Vec<u8> {
    frame(SETTINGS, ACK, 0, &[])
}
