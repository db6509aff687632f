//! What a peer says of a connection as a whole: its settings, and that it goes away.
//!
//! h2 keeps both to itself: it queues calls beyond the peer's limit where nobody sees them, and does
//! not tell the words that come with a GOAWAY. So those frames are read here as they pass (RFC 9113,
//! sections 6.5 and 6.8).

use seawall_frames::flag::ACK;
use seawall_frames::kind::{GOAWAY, SETTINGS};
use seawall_frames::{Frame, Frames};

const MAX_CONCURRENT_STREAMS: u16 = 0x3;
const SETTING_BYTES: usize = 6;
const ENHANCE_YOUR_CALM: u32 = 0xb;
/// The words of gRFC A8.
const TOO_MANY_PINGS: &[u8] = b"too_many_pings";

/// How much of a frame is kept: room for 170 settings, of which there are less than ten.
const KEPT_BYTES_MAX: usize = 1_024;

/// What a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// How many calls it takes at a time, if it says so.
    Settings(Option<u32>),
    /// It ends the connection because it was probed too often (gRFC A8).
    TooManyPings,
}

/// Finds what is said, wherever reads have cut the stream.
#[derive(Debug)]
pub(super) struct Reader {
    frames: Frames,
    /// The frame that matters whose payload has not yet come whole, and what has come of it.
    open: Option<Frame>,
    payload: Vec<u8>,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { frames: Frames::of_server(), open: None, payload: Vec::new() }
    }

    /// Reads on.
    pub(super) fn read(&mut self, mut bytes: &[u8], mut each: impl FnMut(Said)) {
        loop {
            if let Some(frame) = self.open {
                let part = self.frames.payload(&mut bytes);
                let kept = part.len().min(KEPT_BYTES_MAX - self.payload.len());
                self.payload.extend_from_slice(&part[..kept]);
                if self.frames.open().is_some() {
                    return;
                }
                said(frame, &self.payload).into_iter().for_each(&mut each);
                self.payload.clear();
                self.open = None;
            }
            let Some(frame) = self.frames.next(&mut bytes) else { return };
            self.open = matters(frame).then_some(frame);
        }
    }
}

fn matters(frame: Frame) -> bool {
    frame.kind == GOAWAY || frame.kind == SETTINGS && !frame.has(ACK)
}

fn said(frame: Frame, payload: &[u8]) -> Option<Said> {
    if frame.kind == SETTINGS {
        let (settings, _) = payload.as_chunks::<SETTING_BYTES>();
        // The last one holds.
        let max = settings.iter().rev().find(|it| u16::from_be_bytes([it[0], it[1]]) == MAX_CONCURRENT_STREAMS);
        return Some(Said::Settings(max.map(|it| u32::from_be_bytes([it[2], it[3], it[4], it[5]]))));
    }
    let (code, words) = payload.get(4..)?.split_first_chunk()?;
    (u32::from_be_bytes(*code) == ENHANCE_YOUR_CALM && words == TOO_MANY_PINGS).then_some(Said::TooManyPings)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let [_, high, middle, low] = (payload.len() as u32).to_be_bytes();
        [&[high, middle, low, kind, flags, 0, 0, 0, 0], payload].concat()
    }

    fn settings(streams_max: u32) -> Vec<u8> {
        // Of two with the same name, the last one.
        [[0, 3, 0, 0, 0, 9], [0, 4, 0, 0, 255, 255]]
            .concat()
            .into_iter()
            .chain([0, 3])
            .chain(streams_max.to_be_bytes())
            .collect()
    }

    proptest! {
        #[test]
        fn it_is_heard_however_the_stream_is_cut(
            frames in prop::collection::vec((0u8..6, any::<u32>(), 0usize..3_000), 1..20),
            cuts in prop::collection::vec(1usize..4_000, 1..50),
        ) {
            let (mut bytes, mut expected) = (Vec::new(), Vec::new());
            for (which, number, length) in frames {
                // DATA that looks like settings, among others.
                let noise = frame(SETTINGS, 0, &settings(7)).into_iter().cycle().take(length).collect::<Vec<u8>>();
                let pings = |code: u32, words: &[u8]| [&number.to_be_bytes(), &code.to_be_bytes(), words].concat();
                let (frame, said) = match which {
                    0 => (frame(SETTINGS, 0, &settings(number)), Some(Said::Settings(Some(number)))),
                    1 => (frame(SETTINGS, 0, &[]), Some(Said::Settings(None))),
                    2 => (frame(SETTINGS, ACK, &[]), None),
                    3 => (frame(GOAWAY, 0, &pings(ENHANCE_YOUR_CALM, TOO_MANY_PINGS)), Some(Said::TooManyPings)),
                    4 => (frame(GOAWAY, 0, &pings(number % 2 * ENHANCE_YOUR_CALM, b"max_age")), None),
                    _ => (frame(0, 0, &noise), None),
                };
                bytes.extend(frame);
                expected.extend(said);
            }
            let (mut reader, mut heard, mut rest) = (Reader::new(), Vec::new(), &bytes[..]);
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at(rest.len().min(*cut));
                reader.read(now, |said| heard.push(said));
                rest = later;
                if rest.is_empty() { break; }
            }
            prop_assert_eq!(heard, expected);
            prop_assert!(reader.payload.capacity() <= 2 * KEPT_BYTES_MAX);
        }

        #[test]
        fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            Reader::new().read(&bytes, |_| ());
        }
    }
}
