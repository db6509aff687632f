//! A server and what a peer may send it: the frames, the headers, `-bin` values, the messages.
//!
//! The server is a real one in memory, and its time stands still while anything happens, so that what
//! would wait for a timeout is over at once.

use std::cell::OnceCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use seawall_config::Reader;
use seawall_server::{Config, Listener, Server};
use seawall_shutdown::Shutdown;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// The preface and SETTINGS, as a client begins.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// No connection lasts longer than its age with its jitter, its grace, and what a peer has to read them.
const ENDED_WITHIN: Duration = Duration::from_secs(2 * 3_600);
/// What a pipe holds.
const PIPE_BYTES: usize = 64 * 1024;

/// A server in memory.
struct Served {
    runtime: Runtime,
    peers: mpsc::Sender<DuplexStream>,
}

struct Pipes(mpsc::Receiver<DuplexStream>);

impl Listener for Pipes {
    type Io = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, SocketAddr)> {
        match self.0.recv().await {
            Some(pipe) => Ok((pipe, SocketAddr::from((Ipv4Addr::LOCALHOST, 1)))),
            None => std::future::pending().await,
        }
    }
}

impl Served {
    fn new() -> Self {
        let runtime =
            Builder::new_current_thread().enable_time().start_paused(true).build().expect("there are threads");
        let (peers, pipes) = mpsc::channel(1);
        let reader = &mut Reader::new("", "", [("SEAWALL_SERVER_REFLECTION", "true")]);
        let config = Config::read(&mut reader.section("server"), 0, 0);
        let server = Server::try_new(config, seawall_proto::FILE_DESCRIPTOR_SET).expect("ours can be served");
        runtime.spawn(async move {
            let served = server.serve(Pipes(pipes), Shutdown::new(Duration::from_secs(1))).await;
            unreachable!("it was not to end: {served:?}");
        });
        Self { runtime, peers }
    }

    /// What the server says to these bytes, until it closes.
    fn answer(&self, bytes: &[u8], closes: bool) -> Vec<u8> {
        self.runtime.block_on(async {
            let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
            assert!(self.peers.send(theirs).await.is_ok(), "the server has ended");
            let (mut read, mut write) = tokio::io::split(ours);
            let (mut answer, sent) = (Vec::new(), async {
                // A server that has closed has nothing to read.
                let _ = write.write_all(bytes).await;
                if closes {
                    let _ = write.shutdown().await;
                }
            });
            let ended = timeout(ENDED_WITHIN, async { tokio::join!(sent, read.read_to_end(&mut answer)) }).await;
            assert!(ended.is_ok(), "the connection does not end");
            answer
        })
    }
}

thread_local! {
    static SERVED: OnceCell<Served> = const { OnceCell::new() };
}

fn answer(bytes: &[u8], closes: bool) -> Vec<u8> {
    SERVED.with(|served| served.get_or_init(Served::new).answer(bytes, closes))
}

/// Frames behind a good beginning: whatever they are, the connection ends once the peer has closed it.
pub(crate) fn connection(bytes: &[u8]) {
    frames(&answer(&[HELLO, bytes].concat(), true));
}

/// A request of lines `name: value`, an empty one, and a body: the server answers it, or says why not,
/// also to a peer that does not close.
pub(crate) fn request(bytes: &[u8]) {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = end.map_or((bytes, &[][..]), |end| (&bytes[..end], &bytes[end + 2..]));
    let mut block = vec![0x83, 0x86];
    for line in head.split(|byte| *byte == b'\n') {
        let colon = line.iter().skip(1).position(|byte| *byte == b':').map_or(line.len(), |colon| colon + 1);
        block.push(0);
        block.extend(string(&line[..colon]));
        block.extend(string(line.get(colon + 1..).unwrap_or_default()));
    }
    // More than a frame holds is for the other target.
    let (block, body) = (&block[..block.len().min(16_000)], &body[..body.len().min(16_000)]);
    let sent = [HELLO, &frame(1, 4, block), &frame(0, 1, body)].concat();
    let answer = answer(&sent, false);
    let answered = |(kind, stream): &(u8, u32)| *kind == 7 || (*stream == 1 && matches!(kind, 1 | 3));
    assert!(frames(&answer).iter().any(answered), "nothing was said of the request");
}

fn string(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    if text.len() < 127 {
        bytes.push(text.len() as u8);
    } else {
        let rest = text.len() - 127;
        bytes.extend([127, 128 | (rest % 128) as u8, 128 | (rest / 128 % 128) as u8, (rest / 16_384) as u8]);
    }
    bytes.extend(text);
    bytes
}

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let [_, _, high, low] = (payload.len() as u32).to_be_bytes();
    [&[0, high, low, kind, flags, 0, 0, 0, 1], payload].concat()
}

/// The kinds and streams of what a server has said, all of which must be whole frames.
fn frames(mut bytes: &[u8]) -> Vec<(u8, u32)> {
    let mut frames = Vec::new();
    while let [a, b, c, kind, _, s, t, u, v, rest @ ..] = bytes {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        assert!(rest.len() >= length, "half a frame: {length} bytes, of which {} have come", rest.len());
        frames.push((*kind, u32::from_be_bytes([*s, *t, *u, *v])));
        bytes = &rest[length..];
    }
    assert!(bytes.is_empty(), "half the header of a frame");
    frames
}
