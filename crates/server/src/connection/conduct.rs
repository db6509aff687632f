//! Whether a peer behaves: what it may send that costs it nothing and the server something.
//!
//! Pings and settings are judged as in gRFC A8: one that comes too soon after the last is a strike, and
//! what the server sends for a call forgives all strikes. Empty frames and resets have a budget that
//! fills up again.

use std::fmt;
use std::time::Duration;

use seawall_frames::Frame;
use seawall_frames::flag::{ACK, END_HEADERS, END_STREAM};
use seawall_frames::kind::{CONTINUATION, DATA, HEADERS, PING, RST_STREAM, SETTINGS};
use tokio::time::Instant;

/// More than this end the connection.
const STRIKES_MAX: u32 = 2;
/// Frames without content that a peer may send for each one that has some, on the whole.
const EMPTY_FRAMES_MAX: u32 = 100;

/// Why a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The peer has not spoken HTTP/2 within the handshake timeout, or not begun with SETTINGS.
    NoHandshake,
    /// The peer has begun the headers of a call and not ended them within the handshake timeout.
    SlowHeaders,
    /// PING or SETTINGS too often.
    TooManyPings,
    /// DATA without content, again and again.
    TooManyEmptyFrames,
    /// More calls were reset in a second than may be open.
    TooManyResets,
}

impl Cut {
    /// As the peer and the metrics are told: gRPC clients know `too_many_pings`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NoHandshake => "no_handshake",
            Self::SlowHeaders => "slow_headers",
            Self::TooManyPings => "too_many_pings",
            Self::TooManyEmptyFrames => "too_many_empty_frames",
            Self::TooManyResets => "too_many_resets",
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for Cut {}

/// What is known of a peer's conduct.
#[derive(Debug)]
pub(super) struct Conduct {
    /// What a client that keeps its connection alive waits between two pings, at least.
    ping_interval_min: Duration,
    /// Resets that a peer may send at once, and in a second.
    resets_max: u32,
    /// Whether the peer has sent its first SETTINGS.
    has_shaken_hands: bool,
    /// Whether the headers of a call have begun and not ended.
    has_headers_open: bool,
    last_ping: Option<Instant>,
    strikes: u32,
    empty_frames: u32,
    /// Resets that are not yet forgiven, at this time.
    resets: (f64, Instant),
}

impl Conduct {
    pub(super) fn new(ping_interval_min: Duration, resets_max: u32, now: Instant) -> Self {
        Self {
            ping_interval_min,
            resets_max,
            has_shaken_hands: false,
            has_headers_open: false,
            last_ping: None,
            strikes: 0,
            empty_frames: 0,
            resets: (0.0, now),
        }
    }

    pub(super) fn has_shaken_hands(&self) -> bool {
        self.has_shaken_hands
    }

    pub(super) fn has_headers_open(&self) -> bool {
        self.has_headers_open
    }

    /// What the peer has sent. `now` is asked only where it matters.
    pub(super) fn received(&mut self, frame: Frame, now: impl FnOnce() -> Instant) -> Result<(), Cut> {
        match frame.kind {
            SETTINGS if !self.has_shaken_hands && !frame.has(ACK) => self.has_shaken_hands = true,
            // h2 would do with any frame. Nobody is owed a GOAWAY who does not speak HTTP/2 (RFC 9113, section 3.4).
            _ if !self.has_shaken_hands => return Err(Cut::NoHandshake),
            PING | SETTINGS if !frame.has(ACK) => self.ping(now())?,
            DATA if frame.bytes == 0 && !frame.has(END_STREAM) => {
                self.empty_frames += 1;
                if self.empty_frames > EMPTY_FRAMES_MAX {
                    return Err(Cut::TooManyEmptyFrames);
                }
            }
            DATA => self.empty_frames = self.empty_frames.saturating_sub(1),
            HEADERS | CONTINUATION => self.has_headers_open = !frame.has(END_HEADERS),
            RST_STREAM => self.reset(now())?,
            _ => {}
        }
        Ok(())
    }

    /// What the server has sent. A peer whose calls are answered may ask whether the way is still good.
    pub(super) fn sent(&mut self, frame: Frame) {
        if matches!(frame.kind, HEADERS | DATA) {
            self.strikes = 0;
        }
    }

    fn ping(&mut self, now: Instant) -> Result<(), Cut> {
        let is_soon = self.last_ping.is_some_and(|last| now - last < self.ping_interval_min);
        self.last_ping = Some(now);
        self.strikes = if is_soon { self.strikes + 1 } else { 0 };
        if self.strikes > STRIKES_MAX { Err(Cut::TooManyPings) } else { Ok(()) }
    }

    fn reset(&mut self, now: Instant) -> Result<(), Cut> {
        let (resets, last) = self.resets;
        let max = f64::from(self.resets_max);
        let left = (resets - (now - last).as_secs_f64() * max).max(0.0) + 1.0;
        self.resets = (left, now);
        if left > max { Err(Cut::TooManyResets) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    fn conduct() -> (Conduct, Instant) {
        let now = Instant::now();
        let mut conduct = Conduct::new(INTERVAL, 100, now);
        conduct.received(frame(SETTINGS, 0, 6), || now).unwrap();
        assert!(conduct.has_shaken_hands());
        (conduct, now)
    }

    fn frame(kind: u8, flags: u8, bytes: u32) -> Frame {
        Frame { kind, flags, bytes }
    }

    #[tokio::test]
    async fn the_third_ping_that_comes_too_soon_is_one_too_many() {
        for kind in [PING, SETTINGS] {
            let (mut conduct, now) = conduct();
            for _ in 0..3 {
                assert_eq!(conduct.received(frame(kind, 0, 8), || now), Ok(()));
                assert_eq!(conduct.received(frame(kind, ACK, 8), || now), Ok(()), "an answer is no ping");
            }
            assert_eq!(conduct.received(frame(kind, 0, 8), || now), Err(Cut::TooManyPings));
        }
    }

    #[tokio::test]
    async fn pings_at_their_interval_and_pings_of_a_peer_that_is_answered_are_welcome() {
        let (mut conduct, mut now) = conduct();
        for _ in 0..100 {
            assert_eq!(conduct.received(frame(PING, 0, 8), || now), Ok(()));
            now += INTERVAL;
        }
        for _ in 0..100 {
            assert_eq!(conduct.received(frame(PING, 0, 8), || now), Ok(()));
            conduct.sent(frame(DATA, 0, 100));
        }
    }

    #[tokio::test]
    async fn empty_frames_are_for_those_who_send_something_as_well() {
        let (mut conduct, now) = conduct();
        let mut receive = |flags, bytes| conduct.received(frame(DATA, flags, bytes), || now);
        for _ in 0..1_000 {
            receive(0, 0).unwrap();
            receive(0, 5).unwrap();
            receive(END_STREAM, 0).unwrap();
        }
        for _ in 0..EMPTY_FRAMES_MAX {
            receive(0, 0).unwrap();
        }
        assert_eq!(receive(0, 0), Err(Cut::TooManyEmptyFrames));
    }

    #[tokio::test]
    async fn as_many_calls_may_be_reset_in_a_second_as_may_be_open() {
        let (mut conduct, mut now) = conduct();
        for _ in 0..1_000 {
            conduct.received(frame(RST_STREAM, 0, 4), || now).unwrap();
            now += Duration::from_millis(10);
        }
        for _ in 0..99 {
            conduct.received(frame(RST_STREAM, 0, 4), || now).unwrap();
        }
        assert_eq!(conduct.received(frame(RST_STREAM, 0, 4), || now), Ok(()), "the first of them is forgiven by now");
        assert_eq!(conduct.received(frame(RST_STREAM, 0, 4), || now), Err(Cut::TooManyResets));
    }

    #[tokio::test]
    async fn headers_are_open_until_their_end() {
        let (mut conduct, now) = conduct();
        let mut open = |kind, flags| {
            conduct.received(frame(kind, flags, 10), || now).unwrap();
            conduct.has_headers_open()
        };
        assert!(!open(HEADERS, END_HEADERS));
        assert!(open(HEADERS, END_STREAM));
        assert!(open(CONTINUATION, 0));
        assert!(!open(CONTINUATION, END_HEADERS));
    }
}
