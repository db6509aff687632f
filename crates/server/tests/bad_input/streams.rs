//! Streams: their numbers, and frames on those that are closed.

use h2::Reason;

use crate::case::{Case, GOOD, MALFORMED, PROTOCOL};
use crate::outcome::Outcome;
use crate::requests::Concat as _;
use crate::wire::{EMPTY, Head, PRIORITY, REFLECT, RST_STREAM, WATCH, data, frame, good, window_update};

const NUMBERS: &str = "RFC 9113, 5.1.1";
const STATES: &str = "RFC 9113, 5.1";
const CLOSED: Outcome = Outcome::Connection(Reason::STREAM_CLOSED);

pub(crate) fn cases() -> Vec<Case> {
    [numbers(), idle(), closed()].concat_cases()
}

fn numbers() -> Vec<Case> {
    vec![
        Case::new("a call on stream 2", NUMBERS, good(2), PROTOCOL),
        Case::new("a call on stream 3", NUMBERS, good(3), GOOD).on(3),
        Case::new("a call on the last stream", NUMBERS, good(0x7fff_ffff), GOOD).on(0x7fff_ffff),
        Case::new("a call on stream 1 after 3", NUMBERS, [Head::new(REFLECT).open(3), good(1)].concat(), PROTOCOL),
        Case::new("two calls on one connection", NUMBERS, good(1), GOOD).then(good(3)).on(3),
    ]
}

fn idle() -> Vec<Case> {
    let case = |name, frame| Case::new(name, STATES, frame, PROTOCOL);
    vec![
        case("DATA on a stream that is not open", data(1, EMPTY)),
        case("RST_STREAM of a stream that is not open", frame(RST_STREAM, 0, 1, &[0; 4])),
        case("DATA on a stream of the server", data(2, EMPTY)),
        case("WINDOW_UPDATE of a stream of the server", window_update(2, 1)),
    ]
}

/// The number of a stream that was there before.
const OLD: (Outcome, &str) = (PROTOCOL, "it is also a number that is not new, of which section 5.1.1 says so");

fn closed() -> Vec<Case> {
    let case = |name, sent: Vec<u8>, right| Case::new(name, STATES, good(1), right).then(sent);
    // Its answer has no end.
    let ended = Head::new(WATCH).call(1, EMPTY);
    let reset = [Head::new(REFLECT).open(1), frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])].concat();
    let stream_closed = Outcome::Stream(Reason::STREAM_CLOSED);
    vec![
        case("HEADERS on a stream that was answered", Head::check().open(1), CLOSED).differs(OLD),
        case("DATA on a stream that was answered", data(1, EMPTY), CLOSED)
            .differs((stream_closed, "h2 keeps the connection, and what is on other streams of it")),
        case("WINDOW_UPDATE of a stream that was answered", [window_update(1, 1), good(3)].concat(), GOOD).on(3),
        case("RST_STREAM of a stream that was answered", [frame(RST_STREAM, 0, 1, &[0; 4]), good(3)].concat(), GOOD)
            .on(3),
        case("PRIORITY of a stream that was answered", [frame(PRIORITY, 0, 1, &[0; 5]), good(3)].concat(), GOOD).on(3),
        Case::new("DATA after the end of a request", STATES, [ended.clone(), data(1, EMPTY)].concat(), stream_closed)
            .differs((PROTOCOL, "h2 takes it for a mistake of the whole connection")),
        Case::new("HEADERS after the end of a request", STATES, [ended, Head::check().open(1)].concat(), stream_closed)
            .differs((MALFORMED, "h2 takes it for trailers that do not end the request, and they are that, too")),
        Case::new("DATA after RST_STREAM", STATES, [reset.clone(), data(1, EMPTY)].concat(), stream_closed),
        Case::new("HEADERS after RST_STREAM", STATES, [reset, Head::check().open(1)].concat(), stream_closed)
            .differs(OLD),
    ]
}
