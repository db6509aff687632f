//! A peer that is a script of HTTP/2 frames: it does what no server of ours would do.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::uri::Authority;
use seawall_client::{Connect, Io};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const GOAWAY: u8 = 0x7;
const ACK: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const MAX_CONCURRENT_STREAMS: u16 = 0x3;

/// What a pipe holds.
const PIPE_BYTES: usize = 64 * 1024;

pub(crate) const NO_ERROR: u32 = 0x0;
const REFUSED_STREAM: u32 = 0x7;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 0xb;

/// Accepts for as long as it lives.
pub(crate) struct Raw {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Raw {
    /// Plays the script on each connection, which are numbered from 0.
    pub(crate) async fn play<F, S>(script: S) -> Self
    where
        S: Fn(usize, Talk) -> F + Send + 'static,
        F: Future<Output = Option<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let number = count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(script(number, Talk::over(stream)));
            }
        });
        Self { address, accepted, task }
    }

    /// How many connections it has accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

/// A network without sockets, on which time may stand still: whoever is called plays the script.
pub(crate) struct Pipes<S> {
    script: S,
    accepted: AtomicUsize,
}

impl<S> Pipes<S> {
    /// Plays it on each connection, which are numbered from 0.
    pub(crate) fn play<F>(script: S) -> Arc<Self>
    where
        S: Fn(usize, Talk) -> F,
    {
        Arc::new(Self { script, accepted: AtomicUsize::new(0) })
    }

    /// How many connections were made.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl<S> fmt::Debug for Pipes<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipes").field("accepted", &self.accepted).finish_non_exhaustive()
    }
}

impl<F, S> Connect for Pipes<S>
where
    S: Fn(usize, Talk) -> F + Send + Sync,
    F: Future<Output = Option<()>> + Send + 'static,
{
    fn connect(&self, _: &Authority) -> BoxFuture<'static, io::Result<Box<dyn Io>>> {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        tokio::spawn((self.script)(self.accepted.fetch_add(1, Ordering::Relaxed), Talk::over(theirs)));
        std::future::ready(Ok(Box::new(ours) as Box<dyn Io>)).boxed()
    }

    fn resolve(&self, _: &Authority) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        std::future::ready(Ok(vec![([127, 0, 0, 1], 1).into()])).boxed()
    }
}

/// One connection. Its methods return `None` when the other side has gone.
pub(crate) struct Talk {
    stream: Box<dyn Io>,
    /// How many times the other side has asked whether anybody is there.
    pub(crate) pings: usize,
    /// What has come of the request that was read last.
    pub(crate) request: Vec<u8>,
}

impl Talk {
    fn over(stream: impl Io + 'static) -> Self {
        Self { stream: Box::new(stream), pings: 0, request: Vec::new() }
    }

    /// Shakes hands. Without a number, there is no limit of streams.
    pub(crate) async fn begin(&mut self, streams_max: Option<u32>) -> Option<()> {
        self.stream.read_exact(&mut [0; 24]).await.ok()?;
        self.settings(streams_max).await
    }

    pub(crate) async fn settings(&mut self, streams_max: Option<u32>) -> Option<()> {
        let mut payload = Vec::new();
        if let Some(max) = streams_max {
            payload.extend(MAX_CONCURRENT_STREAMS.to_be_bytes());
            payload.extend(max.to_be_bytes());
        }
        self.write(SETTINGS, 0, 0, &payload).await
    }

    /// The stream of the next call, once all of its request has come.
    pub(crate) async fn call(&mut self) -> Option<u32> {
        loop {
            let (_, flags, stream) = self.next().await?;
            if flags & END_STREAM != 0 {
                return Some(stream);
            }
        }
    }

    /// The same, once some of its request has come.
    pub(crate) async fn begun_call(&mut self) -> Option<u32> {
        loop {
            let (kind, _, stream) = self.next().await?;
            if kind == DATA {
                return Some(stream);
            }
        }
    }

    /// Reads on until the other side goes away, or for ever.
    pub(crate) async fn listen(&mut self) -> Option<()> {
        loop {
            self.next().await?;
        }
    }

    /// The next frame of a call: its kind, its flags and its stream.
    async fn next(&mut self) -> Option<(u8, u8, u32)> {
        loop {
            let mut header = [0; 9];
            self.stream.read_exact(&mut header).await.ok()?;
            let [high, middle, low, kind, flags, stream @ ..] = header;
            let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
            self.stream.read_exact(&mut payload).await.ok()?;
            match kind {
                SETTINGS if flags & ACK == 0 => self.write(SETTINGS, ACK, 0, &[]).await?,
                PING if flags & ACK == 0 => {
                    self.pings += 1;
                    self.write(PING, ACK, 0, &payload).await?;
                }
                HEADERS => self.request.clear(),
                DATA => self.request.extend(payload),
                _ => continue,
            }
            if matches!(kind, HEADERS | DATA) {
                return Some((kind, flags, u32::from_be_bytes(stream)));
            }
        }
    }

    /// Answers with these messages, and that all is well.
    pub(crate) async fn answer(&mut self, stream: u32, messages: &[&[u8]]) -> Option<()> {
        self.begin_answer(stream).await?;
        for message in messages {
            let mut framed = vec![0];
            framed.extend((message.len() as u32).to_be_bytes());
            framed.extend(*message);
            self.write(DATA, 0, stream, &framed).await?;
        }
        // Literals without indexing (RFC 7541, 6.2.2), the name in full.
        let trailers = [b"\x00\x0bgrpc-status".as_slice(), b"\x010"].concat();
        self.write(HEADERS, END_HEADERS | END_STREAM, stream, &trailers).await
    }

    /// The headers of an answer: `:status 200`, and a `content-type` whose name is the 31st of the
    /// static table.
    pub(crate) async fn begin_answer(&mut self, stream: u32) -> Option<()> {
        let headers = [b"\x88\x0f\x10\x10".as_slice(), b"application/grpc"].concat();
        self.write(HEADERS, END_HEADERS, stream, &headers).await
    }

    /// Says that it has not looked at a call.
    pub(crate) async fn refuse(&mut self, stream: u32) -> Option<()> {
        self.write(RST_STREAM, 0, stream, &REFUSED_STREAM.to_be_bytes()).await
    }

    /// Takes leave; calls after `last` were not looked at.
    pub(crate) async fn go_away(&mut self, last: u32, code: u32, why: &str) -> Option<()> {
        let payload = [&last.to_be_bytes(), &code.to_be_bytes(), why.as_bytes()].concat();
        self.write(GOAWAY, 0, 0, &payload).await
    }

    async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Option<()> {
        let [_, high, middle, low] = (payload.len() as u32).to_be_bytes();
        let mut frame = vec![high, middle, low, kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.stream.write_all(&frame).await.ok()
    }
}
