//! Frames and fields, written as they are told to be, right or wrong.

pub(crate) const CHECK: &str = "/grpc.health.v1.Health/Check";
/// Its answer has no end.
pub(crate) const WATCH: &str = "/grpc.health.v1.Health/Watch";
/// Its requests are a stream.
pub(crate) const REFLECT: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
/// A message without fields.
pub(crate) const EMPTY: &[u8] = &[0, 0, 0, 0, 0];
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The preface and SETTINGS, as a client begins.
pub(crate) const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const PRIORITIZED: u8 = 32;

/// A frame whose length is that of its payload.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub(crate) fn data(stream: u32, payload: &[u8]) -> Vec<u8> {
    frame(DATA, END_STREAM, stream, payload)
}

pub(crate) fn setting(id: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

pub(crate) fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

/// A string without Huffman coding (RFC 7541, section 5.2).
pub(crate) fn string(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    match u8::try_from(text.len()) {
        Ok(length) if length < 127 => bytes.push(length),
        _ => {
            bytes.push(127);
            let mut rest = text.len() - 127;
            while rest >= 128 {
                bytes.push(128 | (rest % 128) as u8);
                rest /= 128;
            }
            bytes.push(rest as u8);
        }
    }
    bytes.extend(text);
    bytes
}

/// A field that is not put into any table (RFC 7541, section 6.2.2).
pub(crate) fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    [vec![0], string(name), string(value)].concat()
}

/// The fields of a request, good as it is.
#[derive(Debug, Clone)]
pub(crate) struct Head(Vec<(Vec<u8>, Vec<u8>)>);

impl Head {
    pub(crate) fn new(path: impl AsRef<[u8]>) -> Self {
        Self(Vec::new())
            .with(":method", "POST")
            .with(":scheme", "http")
            .with(":path", path)
            .with(":authority", "test")
            .with("content-type", "application/grpc")
            .with("te", "trailers")
    }

    pub(crate) fn check() -> Self {
        Self::new(CHECK)
    }

    /// Adds a field at the end.
    pub(crate) fn with(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.0.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// Adds a field at the beginning.
    pub(crate) fn before(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.0.insert(0, (name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// Gives another value to a field.
    pub(crate) fn but(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let (_, old) = self.0.iter_mut().find(|(known, _)| known == name.as_bytes()).unwrap();
        *old = value.as_ref().to_vec();
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.retain(|(known, _)| known != name.as_bytes());
        self
    }

    /// As a block of fields.
    pub(crate) fn block(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(name, value)| field(name, value)).collect()
    }

    /// As a HEADERS frame and as many CONTINUATION frames as it takes; the request goes on.
    pub(crate) fn open(&self, stream: u32) -> Vec<u8> {
        blocks(stream, 0, &self.block())
    }

    /// As a whole request with this body.
    pub(crate) fn call(&self, stream: u32, body: &[u8]) -> Vec<u8> {
        [self.open(stream), data(stream, body)].concat()
    }

    /// As a whole request with one empty message, on stream 1.
    pub(crate) fn sent(&self) -> Vec<u8> {
        self.call(1, EMPTY)
    }
}

/// A block of fields in frames of at most 16 KiB.
pub(crate) fn blocks(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    const FRAME_BYTES_MAX: usize = 16_384;
    let (first, mut rest) = block.split_at(block.len().min(FRAME_BYTES_MAX));
    let end = |rest: &[u8]| if rest.is_empty() { END_HEADERS } else { 0 };
    let mut bytes = frame(HEADERS, flags | end(rest), stream, first);
    while !rest.is_empty() {
        let (next, after) = rest.split_at(rest.len().min(FRAME_BYTES_MAX));
        bytes.extend(frame(CONTINUATION, end(after), stream, next));
        rest = after;
    }
    bytes
}

/// A good call, for after something that must not matter.
pub(crate) fn good(stream: u32) -> Vec<u8> {
    Head::check().call(stream, EMPTY)
}
