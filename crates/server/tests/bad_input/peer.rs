//! The two peers of the server: one that sends what the case says, and a good one.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::Reason;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Request};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::Code;

use crate::case::Case;
use crate::outcome::Outcome;
use crate::wire::{ACK, CHECK, DATA, EMPTY, END_STREAM, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS};

/// Streams from here on are not reached one by one.
const FAR_AWAY: u32 = 100;

/// Sends what a case says, and reads until it is known what has come of it.
pub(crate) async fn play(address: SocketAddr, case: &Case) -> Outcome {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut heard = Heard::default();
    for (index, part) in case.parts.iter().enumerate() {
        // A server that has closed may have said why before.
        let _ = stream.write_all(part).await;
        let is_last = index + 1 == case.parts.len();
        if is_last && case.is_cut {
            let _ = stream.shutdown().await;
        }
        let looked_at = if is_last { case.stream } else { 1 };
        // What was heard for the part before is not the answer to this one.
        let seen = heard.frames.len();
        let outcome = heard.listen(&mut stream, looked_at, seen).await;
        if is_last || matches!(outcome, End::Connection(_) | End::Closed) {
            return match outcome {
                End::Answer => answered(heard, case.stream).await,
                End::Stream(reason) => Outcome::Stream(reason),
                End::Connection(reason) => Outcome::Connection(reason),
                End::Closed => Outcome::Closed,
            };
        }
    }
    unreachable!("a case has parts")
}

#[derive(Debug)]
enum End {
    Answer,
    Stream(Reason),
    Connection(Reason),
    Closed,
}

/// What the server has said.
#[derive(Debug, Default)]
struct Heard {
    bytes: Vec<u8>,
    /// Where frames begin.
    frames: Vec<usize>,
    /// Where the frames that are whole end.
    end: usize,
}

impl Heard {
    /// Reads until a frame that was not `seen` is an end.
    async fn listen(&mut self, stream: &mut TcpStream, looked_at: u32, mut seen: usize) -> End {
        loop {
            self.find();
            for at in &self.frames[seen..] {
                if let Some(end) = end(&self.bytes[*at..], looked_at) {
                    return end;
                }
            }
            seen = self.frames.len();
            // A reset is an end as well.
            if !matches!(stream.read_buf(&mut self.bytes).await, Ok(1..)) {
                return End::Closed;
            }
        }
    }

    /// Finds the frames in what was read.
    fn find(&mut self) {
        while let Some([a, b, c, _, _, _, _, _, _, rest @ ..]) = self.bytes.get(self.end..) {
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            if rest.len() < length {
                break;
            }
            self.frames.push(self.end);
            self.end += 9 + length;
        }
    }
}

fn end(frame: &[u8], looked_at: u32) -> Option<End> {
    let number = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
    let is_looked_at = number(5) == looked_at;
    match (frame[3], frame[4]) {
        (GOAWAY, _) if number(13) != 0 => Some(End::Connection(number(13).into())),
        (RST_STREAM, _) if is_looked_at => Some(End::Stream(number(9).into())),
        (HEADERS | DATA, flags) if is_looked_at && flags & END_STREAM != 0 => Some(End::Answer),
        _ => None,
    }
}

/// Reads the answer to a call in what a server has said, by h2: it is told that it has made the call,
/// and those before it.
async fn answered(mut heard: Heard, stream: u32) -> Outcome {
    // One that is far away is the only one, and h2 begins with 1.
    let calls = if stream < FAR_AWAY { stream as usize / 2 + 1 } else { 1 };
    for at in heard.frames.iter().filter(|_| stream >= FAR_AWAY) {
        let number = &mut heard.bytes[at + 5..at + 9];
        if number == stream.to_be_bytes() {
            number.copy_from_slice(&1u32.to_be_bytes());
        }
    }
    // Answers to SETTINGS and PING that h2 has not sent are not for it.
    let is_for_call = |frame: &[u8]| frame[5..9] != [0; 4] || (frame[3] == SETTINGS && frame[4] & ACK == 0);
    let ends = heard.frames.iter().skip(1).chain([&heard.end]);
    let frames = heard.frames.iter().zip(ends).map(|(from, to)| &heard.bytes[*from..*to]);
    let bytes = frames.filter(|frame| is_for_call(frame)).flatten().copied().collect();
    let asked = Heard { end: PREFACE.len(), ..Heard::default() };
    let recording = Recording { bytes, at: 0, calls, asked, waker: None };
    let (sender, connection) = h2::client::handshake(recording).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut begun = Vec::new();
    for _ in 0..calls {
        begun.push(begin(&sender).await);
    }
    let outcome = finish(begun.pop().unwrap()).await;
    driver.abort();
    outcome
}

async fn begin(sender: &SendRequest<Bytes>) -> ResponseFuture {
    let request = Request::post(format!("http://test{CHECK}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let (answer, mut send) = sender.clone().ready().await.unwrap().send_request(request, false).unwrap();
    let _ = send.send_data(Bytes::from_static(EMPTY), true);
    answer
}

async fn finish(answer: ResponseFuture) -> Outcome {
    let (head, mut body) = answer.await.unwrap().into_parts();
    while let Some(data) = body.data().await {
        let length = data.unwrap().len();
        body.flow_control().release_capacity(length).unwrap();
    }
    let trailers = body.trailers().await.unwrap().unwrap_or_default();
    let code = |headers: &HeaderMap| headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()));
    match code(&head.headers).or(code(&trailers)) {
        Some(code) if head.status == 200 => Outcome::Grpc(code),
        _ => Outcome::Http(head.status.as_u16()),
    }
}

/// Plays what was said, once all calls were begun.
struct Recording {
    bytes: Vec<u8>,
    at: usize,
    calls: usize,
    asked: Heard,
    waker: Option<Waker>,
}

impl AsyncRead for Recording {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Heard { bytes, frames, .. } = &self.asked;
        if frames.iter().filter(|at| bytes[**at + 3] == HEADERS).count() < self.calls {
            self.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let rest = &self.bytes[self.at..];
        let rest = &rest[..rest.len().min(buf.remaining())];
        buf.put_slice(rest);
        let read = rest.len();
        self.at += read;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Recording {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.asked.bytes.extend(bytes);
        self.asked.find();
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A peer that only makes good calls.
#[derive(Debug)]
pub(crate) struct Good {
    sender: SendRequest<Bytes>,
    _driver: JoinHandle<Result<(), h2::Error>>,
}

impl Good {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let (sender, connection) = h2::client::handshake(TcpStream::connect(address).await.unwrap()).await.unwrap();
        Self { sender, _driver: tokio::spawn(connection) }
    }

    pub(crate) async fn call(&mut self) -> Outcome {
        finish(begin(&self.sender).await).await
    }
}
