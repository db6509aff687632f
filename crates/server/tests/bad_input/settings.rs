//! SETTINGS and windows.

use h2::Reason;

use crate::case::{Case, FRAME_SIZE, GOOD, H2_FRAME, MALFORMED, PROTOCOL};
use crate::outcome::Outcome;
use crate::requests::Concat as _;
use crate::wire::{ACK, Head, REFLECT, SETTINGS, frame, good, setting, window_update};

const VALUES: &str = "RFC 9113, 6.5.2";
const FRAMES: &str = "RFC 9113, 6.5";
const WINDOWS: &str = "RFC 9113, 6.9";
const OVERFLOW: &str = "RFC 9113, 6.9.1";

const TABLE: u16 = 1;
const PUSH: u16 = 2;
const STREAMS: u16 = 3;
const WINDOW: u16 = 4;
const FRAME: u16 = 5;
const LIST: u16 = 6;
const CONNECT: u16 = 8;
const MOST: u32 = 0x7fff_ffff;

pub(crate) fn cases() -> Vec<Case> {
    [values(), shapes(), windows()].concat_cases()
}

fn values() -> Vec<Case> {
    let good = |name, id, value| Case::new(name, VALUES, [setting(id, value), good(1)].concat(), GOOD);
    let bad = |name, id, value| Case::new(name, VALUES, setting(id, value), PROTOCOL);
    let flow = Outcome::Connection(Reason::FLOW_CONTROL_ERROR);
    vec![
        good("a setting that nobody knows", 0x99, u32::MAX),
        good("a header table of 4 GiB", TABLE, u32::MAX),
        good("a header table of no bytes", TABLE, 0),
        good("no stream at a time", STREAMS, 0),
        good("a header list of 4 GiB", LIST, u32::MAX),
        good("frames of 16 MiB", FRAME, 16_777_215),
        good("a window of 2 GiB", WINDOW, MOST),
        good("push is wanted", PUSH, 1),
        bad("push is 2", PUSH, 2),
        bad("frames of 16 KiB less a byte", FRAME, 16_383),
        bad("frames of no bytes", FRAME, 0),
        bad("frames of 16 MiB and a byte", FRAME, 16_777_216),
        bad("extended CONNECT is 2", CONNECT, 2),
        Case::new("a window of 2 GiB and a byte", VALUES, setting(WINDOW, MOST + 1), flow).differs(H2_FRAME),
        Case::new("a window of 4 GiB", VALUES, setting(WINDOW, u32::MAX), flow).differs(H2_FRAME),
    ]
}

fn shapes() -> Vec<Case> {
    let case = |name, sent, right| Case::new(name, FRAMES, sent, right);
    let twice = [setting(WINDOW, 0)[9..].to_vec(), setting(WINDOW, 65_535)[9..].to_vec()].concat();
    let many = setting(0x99, 1)[9..].repeat(1_000);
    vec![
        case("SETTINGS of 5 bytes", frame(SETTINGS, 0, 0, &[0; 5]), FRAME_SIZE).differs(H2_FRAME),
        case("SETTINGS of 7 bytes", frame(SETTINGS, 0, 0, &[0; 7]), FRAME_SIZE).differs(H2_FRAME),
        case("an ACK of SETTINGS with some", frame(SETTINGS, ACK, 0, &[0; 6]), FRAME_SIZE).differs(H2_FRAME),
        case("a setting that is there twice", [frame(SETTINGS, 0, 0, &twice), good(1)].concat(), GOOD),
        case("a thousand settings in a frame", [frame(SETTINGS, 0, 0, &many), good(1)].concat(), GOOD),
    ]
}

fn windows() -> Vec<Case> {
    let flow = Outcome::Connection(Reason::FLOW_CONTROL_ERROR);
    // Its answer waits for the rest of the request, so that the stream is open.
    let open = || Head::new(REFLECT).open(1);
    let full = [open(), window_update(1, MOST - 65_535), setting(WINDOW, 65_536)].concat();
    vec![
        Case::new("WINDOW_UPDATE of 0", WINDOWS, window_update(0, 0), PROTOCOL),
        Case::new("WINDOW_UPDATE of 0 on a stream", WINDOWS, [open(), window_update(1, 0)].concat(), MALFORMED)
            .differs(H2_FRAME),
        Case::new("WINDOW_UPDATE of 2 GiB", OVERFLOW, window_update(0, MOST), flow),
        Case::new("WINDOW_UPDATE twice, which is too much", OVERFLOW, window_update(0, 1 << 30).repeat(2), flow),
        Case::new(
            "WINDOW_UPDATE of 2 GiB on a stream",
            OVERFLOW,
            [open(), window_update(1, MOST)].concat(),
            Outcome::Stream(Reason::FLOW_CONTROL_ERROR),
        ),
        Case::new(
            "WINDOW_UPDATE with the reserved bit",
            WINDOWS,
            [window_update(0, 1 << 31 | 1), good(1)].concat(),
            GOOD,
        ),
        Case::new("WINDOW_UPDATE of a stream that is not open", "RFC 9113, 5.1", window_update(1, 1), PROTOCOL),
        Case::new("a window that overflows by SETTINGS", "RFC 9113, 6.9.2", full, flow),
        Case::new(
            "a window below 0",
            "RFC 9113, 6.9.2",
            [setting(WINDOW, 0), Head::check().sent(), setting(WINDOW, 65_535)].concat(),
            GOOD,
        ),
    ]
}
