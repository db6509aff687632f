//! HTTP/2 frame headers in a stream of bytes (RFC 9113, section 4.1), without the payloads.

/// Kinds of frames that matter here.
pub(super) const DATA: u8 = 0x0;
pub(super) const HEADERS: u8 = 0x1;
pub(super) const RST_STREAM: u8 = 0x3;
pub(super) const SETTINGS: u8 = 0x4;
pub(super) const PING: u8 = 0x6;
pub(super) const GOAWAY: u8 = 0x7;
pub(super) const CONTINUATION: u8 = 0x9;

/// Flags: `ACK` of PING and SETTINGS, `END_STREAM` of DATA and HEADERS, `END_HEADERS` of HEADERS and
/// CONTINUATION.
pub(super) const ACK: u8 = 0x1;
pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;

/// What a client sends before its first frame.
const PREFACE_BYTES: u32 = 24;
const HEADER_BYTES: usize = 9;

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// Of the payload.
    pub(super) bytes: u32,
}

impl Frame {
    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Finds the headers, wherever reads and writes have cut the stream.
#[derive(Debug)]
pub(super) struct Frames {
    header: [u8; HEADER_BYTES],
    /// How much of the header is there.
    filled: usize,
    /// How much of the preface or of a payload is still to come.
    rest: u32,
    /// The kind of the last frame.
    kind: u8,
}

impl Frames {
    pub(super) fn of_client() -> Self {
        Self { rest: PREFACE_BYTES, ..Self::of_server() }
    }

    pub(super) fn of_server() -> Self {
        Self { header: [0; HEADER_BYTES], filled: 0, rest: 0, kind: SETTINGS }
    }

    /// Whether the last byte was the last one of a frame, so that another frame may follow.
    pub(super) fn is_between_frames(&self) -> bool {
        self.filled == 0 && self.rest == 0
    }

    /// Whether the payload of a HEADERS or CONTINUATION frame is still to come.
    pub(super) fn is_within_headers(&self) -> bool {
        self.rest > 0 && matches!(self.kind, HEADERS | CONTINUATION)
    }

    /// Reads on, until `each` returns an error.
    pub(super) fn read<E>(&mut self, mut bytes: &[u8], mut each: impl FnMut(Frame) -> Result<(), E>) -> Result<(), E> {
        loop {
            let skipped = bytes.len().min(self.rest as usize);
            // At most `rest`, which is a u32.
            self.rest -= skipped as u32;
            bytes = &bytes[skipped..];
            let taken = bytes.len().min(HEADER_BYTES - self.filled);
            if taken == 0 {
                return Ok(());
            }
            self.header[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled < HEADER_BYTES {
                return Ok(());
            }
            let [high, middle, low, kind, flags, ..] = self.header;
            self.filled = 0;
            self.rest = u32::from_be_bytes([0, high, middle, low]);
            self.kind = kind;
            each(Frame { kind, flags, bytes: self.rest })?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes_of(frames: &[(u8, u8, u16)]) -> Vec<u8> {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        for (kind, flags, length) in frames {
            bytes.extend([0, (length >> 8) as u8, *length as u8, *kind, *flags, 0, 0, 0, 1]);
            bytes.extend(std::iter::repeat_n(PING, usize::from(*length)));
        }
        bytes
    }

    proptest! {
        #[test]
        fn frames_are_found_however_the_stream_is_cut(
            sent in prop::collection::vec((any::<u8>(), any::<u8>(), 0u16..300), 0..20),
            cuts in prop::collection::vec(1usize..40, 1..200),
        ) {
            let (bytes, mut frames, mut found) = (bytes_of(&sent), Frames::of_client(), Vec::new());
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at(rest.len().min(*cut));
                frames.read(now, |frame| { found.push((frame.kind, frame.flags, frame.bytes as u16)); Ok::<_, ()>(()) }).unwrap();
                rest = later;
                if rest.is_empty() { break; }
            }
            prop_assert_eq!(found, sent);
            prop_assert!(frames.is_between_frames());
        }
    }

    #[test]
    fn headers_that_have_not_come_whole_are_known() {
        let bytes = bytes_of(&[(HEADERS, 0, 5), (DATA, 0, 5)]);
        let mut frames = Frames::of_client();
        let mut read = |bytes: &[u8]| {
            frames.read(bytes, |_| Ok::<_, ()>(())).unwrap();
            (frames.is_within_headers(), frames.is_between_frames())
        };
        assert_eq!(read(&bytes[..24]), (false, true));
        assert_eq!(read(&bytes[24..34]), (true, false));
        assert_eq!(read(&bytes[34..38]), (false, true));
        assert_eq!(read(&bytes[38..48]), (false, false));
    }
}
