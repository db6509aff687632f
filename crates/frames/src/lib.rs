//! The frames of HTTP/2 in a stream of bytes that passes by (RFC 9113, section 4.1).
//!
//! hyper answers some frames by itself and tells nobody. Who wants to know of them reads what passes,
//! with [`Frames`]: the header of each frame, and of its payload only what is asked for. The rest is
//! skipped by its length, so that it costs nothing how long it is. Nothing is kept but the header, and
//! nothing is checked: that is up to whoever the bytes are for.
//!
//! ```
//! use seawall_frames::{Frames, kind};
//!
//! // DATA of five bytes, and a PING that has come but in part.
//! let mut bytes = &b"\0\0\x05\0\0\0\0\0\x01hello\0\0\x08\x06\0\0\0\0\0ab"[..];
//! let mut frames = Frames::of_server();
//! assert_eq!(frames.next(&mut bytes).map(|frame| frame.kind), Some(kind::DATA));
//! assert_eq!(frames.next(&mut bytes).map(|frame| frame.kind), Some(kind::PING));
//! assert_eq!(frames.payload(&mut bytes), b"ab");
//! assert_eq!(frames.open(), Some(kind::PING));
//! ```
//!
//! # Structure
//! All of it is here.

/// Kinds of frames (RFC 9113, section 6).
pub mod kind {
    /// A part of the body of a call.
    pub const DATA: u8 = 0x0;
    /// The beginning of a call or an answer, or the trailers of one.
    pub const HEADERS: u8 = 0x1;
    /// The end of a call before its time.
    pub const RST_STREAM: u8 = 0x3;
    /// What a side asks of the other.
    pub const SETTINGS: u8 = 0x4;
    /// The question whether anybody is there.
    pub const PING: u8 = 0x6;
    /// The end of a connection, for new calls.
    pub const GOAWAY: u8 = 0x7;
    /// More of the headers.
    pub const CONTINUATION: u8 = 0x9;
}

/// Flags of frames, which mean different things for different kinds.
pub mod flag {
    /// Of PING and SETTINGS: it is an answer.
    pub const ACK: u8 = 0x1;
    /// Of DATA and HEADERS: nothing follows on the stream.
    pub const END_STREAM: u8 = 0x1;
    /// Of HEADERS and CONTINUATION: no CONTINUATION follows.
    pub const END_HEADERS: u8 = 0x4;
}

/// What a client sends before its first frame.
const PREFACE_BYTES: u32 = 24;
const HEADER_BYTES: usize = 9;

/// The header of a frame, but for its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// One of [`kind`], or another one.
    pub kind: u8,
    /// Any of [`flag`], and others.
    pub flags: u8,
    /// How long the payload is.
    pub bytes: u32,
}

impl Frame {
    /// Whether the flag is set, or one of several.
    pub const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    const fn of([high, middle, low, kind, flags, ..]: [u8; HEADER_BYTES]) -> Self {
        Self { kind, flags, bytes: u32::from_be_bytes([0, high, middle, low]) }
    }
}

/// Where in a stream of frames its bytes are, wherever reads or writes have cut it.
#[derive(Debug)]
pub struct Frames {
    /// The beginning of a header whose end is still to come, and how much of it there is.
    header: [u8; HEADER_BYTES],
    filled: usize,
    /// The kind of the last frame, and how much of its payload is still to come.
    kind: u8,
    rest: u32,
}

impl Frames {
    /// Those that a client sends, behind its preface, which is taken for SETTINGS.
    pub const fn of_client() -> Self {
        Self { rest: PREFACE_BYTES, ..Self::of_server() }
    }

    /// Those that a server sends.
    pub const fn of_server() -> Self {
        Self { header: [0; HEADER_BYTES], filled: 0, kind: kind::SETTINGS, rest: 0 }
    }

    /// The next frame whose header ends in `bytes`, of which what follows on the header is left. What
    /// was left of the payload before is skipped. `None` when nothing is left of `bytes`.
    #[inline]
    pub fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        self.payload(bytes);
        if bytes.is_empty() {
            return None;
        }
        let (header, rest) = match bytes.split_first_chunk() {
            Some((header, rest)) if self.filled == 0 => (*header, rest),
            _ => self.pieced(std::mem::take(bytes))?,
        };
        *bytes = rest;
        let frame = Frame::of(header);
        (self.kind, self.rest) = (frame.kind, frame.bytes);
        Some(frame)
    }

    /// What has come of the payload of the last frame and was not taken yet; it is taken from `bytes`.
    #[inline]
    pub fn payload<'a>(&mut self, bytes: &mut &'a [u8]) -> &'a [u8] {
        let (payload, rest) = bytes.split_at(bytes.len().min(self.rest as usize));
        // At most `rest`, which is a u32.
        self.rest -= payload.len() as u32;
        *bytes = rest;
        payload
    }

    /// The kind of the last frame, if some of its payload is still to come.
    pub fn open(&self) -> Option<u8> {
        (self.rest > 0).then_some(self.kind)
    }

    /// Whether the last byte was the last one of a frame, so that another frame may follow.
    pub const fn is_between(&self) -> bool {
        self.filled == 0 && self.rest == 0
    }

    /// A header that comes in pieces, once it is whole, and what follows on it.
    #[cold]
    fn pieced<'a>(&mut self, bytes: &'a [u8]) -> Option<([u8; HEADER_BYTES], &'a [u8])> {
        let (piece, rest) = bytes.split_at(bytes.len().min(HEADER_BYTES - self.filled));
        self.header[self.filled..][..piece.len()].copy_from_slice(piece);
        self.filled += piece.len();
        if self.filled < HEADER_BYTES {
            return None;
        }
        self.filled = 0;
        Some((self.header, rest))
    }
}

#[cfg(test)]
mod tests;
