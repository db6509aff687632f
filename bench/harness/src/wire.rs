//! A client of HTTP/2 that sends the same bytes in each run and costs next to nothing.
//!
//! It writes frames that were made before, and of what comes it looks at frame headers alone (RFC 9113). Headers are
//! sent as clients of gRPC send them: in full by a connection's first call, and by their place in the table of
//! HPACK (RFC 7541) by all that follow. A call is answered if its stream has ended and it had a message.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD_BYTES: usize = 9;
/// What precedes a message of gRPC: whether it is compressed, and its length.
pub(crate) const PREFIX_BYTES: usize = 5;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const ENABLE_PUSH: u16 = 2;
const INITIAL_WINDOW_SIZE: u16 = 4;
/// What may come on a connection or stream before we say more: as much as there can be.
const WINDOW_BYTES: u32 = (1 << 31) - 1;
const WINDOW_BYTES_AT_FIRST: u32 = 65_535;
/// How long a server may be silent that has calls to answer; valgrind is slow.
const PATIENCE: Duration = Duration::from_secs(120);

/// One call, as bytes: the same each time.
#[derive(Debug, Clone)]
pub struct Call {
    /// Headers for the first time on a connection, and for all others.
    headers: [Vec<u8>; 2],
    /// Empty for a call whose message never comes.
    message: Vec<u8>,
}

impl Call {
    /// `path` is `/package.Service/Method`; `message` is encoded.
    ///
    /// # Panics
    /// If one of them is longer than calls that are compared ever are.
    pub fn new(path: &str, message: &[u8]) -> Self {
        assert!(message.len() < 16_000, "a message that fits into one frame");
        let mut framed = vec![0];
        framed.extend((message.len() as u32).to_be_bytes());
        framed.extend(message);
        let (mut first, mut others) = (vec![0x83, 0x86], vec![0x83, 0x86]);
        // With the index of the name in the static table, where it is there.
        let fields = [
            (4, ":path", path),
            (1, ":authority", "127.0.0.1"),
            (31, "content-type", "application/grpc"),
            (0, "te", "trailers"),
            (58, "user-agent", "seawall-bench"),
        ];
        for (place, (index, name, value)) in fields.iter().enumerate() {
            first.push(0x40 | index);
            if *index == 0 {
                push_text(&mut first, name);
            }
            push_text(&mut first, value);
            // The dynamic table begins at 62 with what came last.
            others.push(0x80 | (62 + fields.len() - 1 - place) as u8);
        }
        Self { headers: [first, others], message: framed }
    }

    /// The same call, whose message never comes.
    #[must_use]
    pub fn without_message(mut self) -> Self {
        self.message.clear();
        self
    }
}

fn push_text(block: &mut Vec<u8>, text: &str) {
    assert!(text.len() < 127, "a length of one byte");
    block.push(text.len() as u8);
    block.extend(text.as_bytes());
}

fn push_frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
}

/// How many connections there are, and how many calls are in flight on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shape {
    /// Connections.
    pub connections: usize,
    /// Calls in flight on each.
    pub streams: usize,
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.connections, self.streams)
    }
}

/// What has come since it was asked last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Received {
    /// Streams that have ended.
    pub ended: usize,
    /// Messages.
    pub messages: usize,
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    next_stream: u32,
    /// What has come and was not looked at, as the beginning of a frame is.
    input: Vec<u8>,
    output: Vec<u8>,
    /// Bytes of messages that came since the window was widened.
    consumed: u32,
    /// Whether the server has sent its settings.
    is_open: bool,
    waits: bool,
}

impl Connection {
    /// Connects and shakes hands.
    ///
    /// # Errors
    /// If there is no HTTP/2.
    pub fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut output = PREFACE.to_vec();
        let mut settings = Vec::new();
        for (name, value) in [(ENABLE_PUSH, 0), (INITIAL_WINDOW_SIZE, WINDOW_BYTES)] {
            settings.extend(name.to_be_bytes());
            settings.extend(value.to_be_bytes());
        }
        push_frame(&mut output, SETTINGS, 0, 0, &settings);
        push_frame(&mut output, WINDOW_UPDATE, 0, 0, &(WINDOW_BYTES - WINDOW_BYTES_AT_FIRST).to_be_bytes());
        let mut connection =
            Self { stream, next_stream: 1, input: Vec::new(), output, consumed: 0, is_open: false, waits: true };
        connection.flush()?;
        while !connection.is_open {
            connection.receive().context("the server says no settings")?;
        }
        Ok(connection)
    }

    /// Begins `count` calls with one write.
    ///
    /// # Errors
    /// If the connection has ended.
    pub fn send(&mut self, call: &Call, count: usize) -> Result<()> {
        for _ in 0..count {
            let [first, others] = &call.headers;
            let headers = if self.next_stream == 1 { first } else { others };
            push_frame(&mut self.output, HEADERS, END_HEADERS, self.next_stream, headers);
            if !call.message.is_empty() {
                push_frame(&mut self.output, DATA, END_STREAM, self.next_stream, &call.message);
            }
            self.next_stream += 2;
        }
        self.flush()
    }

    /// Writes as much as the socket takes; the rest goes before what is written next.
    fn flush(&mut self) -> Result<()> {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(length) => drop(self.output.drain(..length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("the server takes no calls"),
            }
        }
        Ok(())
    }

    /// From now on nothing is waited for.
    ///
    /// # Errors
    /// If the system does not want that.
    pub fn never_wait(&mut self) -> Result<()> {
        self.waits = false;
        Ok(self.stream.set_nonblocking(true)?)
    }

    /// What comes with the next read.
    ///
    /// # Errors
    /// If the connection has ended, or the server has reset a call.
    pub fn receive(&mut self) -> Result<Received> {
        self.receive_each(|_| ())
    }

    /// The same, and `ended` is told the place of each call that has ended, counted from 0 on this connection.
    ///
    /// # Errors
    /// The same.
    pub fn receive_each(&mut self, mut ended: impl FnMut(usize)) -> Result<Received> {
        let mut chunk = [0; 64 * 1024];
        let length = match self.stream.read(&mut chunk) {
            Ok(0) => bail!("the server has closed the connection"),
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock && !self.waits => return Ok(Received::default()),
            Err(error) => return Err(error).context("the server does not answer"),
        };
        self.input.extend(&chunk[..length]);
        let mut received = Received::default();
        let mut at = 0;
        while let Some(head) = self.input.get(at..at + HEAD_BYTES) {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let (kind, flags) = (head[3], head[4]);
            let Some(payload) = self.input.get(at + HEAD_BYTES..at + HEAD_BYTES + length) else { break };
            if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
                let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
                ended(stream as usize / 2);
                received.ended += 1;
            }
            match kind {
                DATA => {
                    received.messages += usize::from(length > 0);
                    self.consumed += length as u32;
                }
                SETTINGS if flags & ACK == 0 => {
                    push_frame(&mut self.output, SETTINGS, ACK, 0, &[]);
                    self.is_open = true;
                }
                PING if flags & ACK == 0 => push_frame(&mut self.output, PING, ACK, 0, payload),
                RST_STREAM => bail!("the server has reset a call: {payload:?}"),
                GOAWAY => bail!("the server says goodbye: {}", String::from_utf8_lossy(payload)),
                _ => {}
            }
            at += HEAD_BYTES + length;
        }
        self.input.drain(..at);
        if self.consumed > WINDOW_BYTES / 2 {
            push_frame(&mut self.output, WINDOW_UPDATE, 0, 0, &self.consumed.to_be_bytes());
            self.consumed = 0;
        }
        if !self.output.is_empty() {
            self.flush()?;
        }
        Ok(received)
    }
}

/// Makes `calls` calls: as many as the shape has at a time, the next when all of them are answered.
///
/// # Errors
/// If one of them is not answered with a message.
pub fn in_step(address: SocketAddr, call: &Call, shape: Shape, calls: usize) -> Result<()> {
    let mut connections = (0..shape.connections).map(|_| Connection::open(address)).collect::<Result<Vec<_>>>()?;
    let batch = shape.connections * shape.streams;
    for _ in 0..calls.div_ceil(batch) {
        for connection in &mut connections {
            connection.send(call, shape.streams)?;
        }
        for connection in &mut connections {
            answers(connection, shape.streams)?;
        }
    }
    Ok(())
}

/// Makes `count` calls on a connection and waits until they are answered.
///
/// # Errors
/// If one of them is not answered with a message.
pub fn exchange(connection: &mut Connection, call: &Call, count: usize) -> Result<()> {
    connection.send(call, count)?;
    answers(connection, count)
}

fn answers(connection: &mut Connection, count: usize) -> Result<()> {
    let mut all = Received::default();
    while all.ended < count {
        let some = connection.receive()?;
        all = Received { ended: all.ended + some.ended, messages: all.messages + some.messages };
    }
    ensure!(all.messages == count, "{} of {count} calls were refused", count - all.messages.min(count));
    Ok(())
}
