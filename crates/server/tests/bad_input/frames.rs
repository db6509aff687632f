//! Frames: the preface, lengths, flags, padding, and what stands on which stream.

use h2::Reason;

use crate::case::{Case, FRAME_SIZE, GOOD, H2_FRAME, MALFORMED, PROTOCOL};
use crate::outcome::Outcome;
use crate::requests::Concat as _;
use crate::wire::{
    CONTINUATION, DATA, EMPTY, END_HEADERS, END_STREAM, GOAWAY, HEADERS, HELLO, Head, PADDED, PING, PREFACE,
    PRIORITIZED, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, data, frame, good, window_update,
};

const PREFACES: &str = "RFC 9113, 3.4";
const FRAMES: &str = "RFC 9113, 4.1";
const SIZES: &str = "RFC 9113, 4.2";

pub(crate) fn cases() -> Vec<Case> {
    [prefaces(), cut(), sizes(), unknown(), on_no_stream(), continuations(), padding(), others()].concat_cases()
}

/// What does not speak HTTP/2 need not be told so in HTTP/2.
fn prefaces() -> Vec<Case> {
    let hello_tls = [&[22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3][..], &[7; 194]].concat();
    let after = |bytes: &[u8]| [PREFACE, bytes].concat();
    vec![
        Case::bare("HTTP/1.1", PREFACES, b"GET / HTTP/1.1\r\nHost: test\r\n\r\n".to_vec(), Outcome::Closed),
        Case::bare(
            "HTTP/1.1 that asks for HTTP/2",
            PREFACES,
            b"POST / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n".to_vec(),
            Outcome::Closed,
        ),
        Case::bare("TLS", PREFACES, hello_tls, Outcome::Closed),
        Case::bare(
            "a preface with another number",
            PREFACES,
            b"PRI * HTTP/3.0\r\n\r\nSM\r\n\r\n".to_vec(),
            Outcome::Closed,
        ),
        Case::bare("zeros", PREFACES, vec![0; 64], Outcome::Closed),
        Case::bare("a second preface", PREFACES, [HELLO, PREFACE].concat(), FRAME_SIZE),
        Case::bare("no SETTINGS", PREFACES, after(&good(1)), Outcome::Closed),
        Case::bare("PING before SETTINGS", PREFACES, after(&frame(PING, 0, 0, &[0; 8])), Outcome::Closed),
        Case::bare("SETTINGS that are an ACK", PREFACES, after(&frame(SETTINGS, 1, 0, &[])), Outcome::Closed),
    ]
}

/// The peer closes for sending; there is nobody to tell anything.
fn cut() -> Vec<Case> {
    let case = |name, bytes: &[u8]| Case::bare(name, SIZES, bytes.to_vec(), Outcome::Closed).cut();
    let whole = [HELLO, &Head::check().open(1)].concat();
    vec![
        case("a connection that ends at once", b""),
        case("half a preface", &PREFACE[..12]),
        case("a preface and no more", PREFACE),
        case("SETTINGS and no more", HELLO),
        case("half a frame header", &[HELLO, &[0, 0, 8, 6]].concat()),
        case("half a PING", &[HELLO, &frame(PING, 0, 0, &[0; 8])[..12]].concat()),
        case("half of HEADERS", &whole[..whole.len() - 10]),
        case("HEADERS without CONTINUATION", &[HELLO, &frame(HEADERS, 0, 1, &Head::check().block())].concat()),
        case("half of DATA", &[&whole[..], &data(1, EMPTY)[..11]].concat()),
        case("a request without an end", &whole),
        case("half a message and no end", &[&whole[..], &frame(DATA, 0, 1, &[0, 0, 0, 0, 9, 1])].concat()),
    ]
}

fn sizes() -> Vec<Case> {
    let case = |name, sent: Vec<u8>| Case::new(name, SIZES, sent, FRAME_SIZE);
    let open = Head::check().open(1);
    let huge = [255, 255, 255, DATA, 0, 0, 0, 0, 1].to_vec();
    let ping = |bytes: usize| frame(PING, 0, 0, &vec![0; bytes]);
    let goaway = frame(GOAWAY, 0, 0, &[0; 7]);
    let window = frame(8, 0, 0, &[0, 0, 1]);
    vec![
        case("DATA of 16 KiB and a byte", [open.clone(), data(1, &[0; 16_385])].concat()),
        case("DATA of 16 MiB", [open.clone(), huge].concat()),
        case("HEADERS of 16 KiB and a byte", frame(HEADERS, END_HEADERS, 1, &[0; 16_385])),
        case("an unknown frame of 16 KiB and a byte", frame(0x77, 0, 0, &[0; 16_385])),
        case("PING of 7 bytes", ping(7)).differs(H2_FRAME),
        case("PING of 9 bytes", ping(9)).differs(H2_FRAME),
        case("PING of no bytes", ping(0)).differs(H2_FRAME),
        case("RST_STREAM of 3 bytes", [open.clone(), frame(RST_STREAM, 0, 1, &[0; 3])].concat()).differs(H2_FRAME),
        case("RST_STREAM of 5 bytes", [open.clone(), frame(RST_STREAM, 0, 1, &[0; 5])].concat()).differs(H2_FRAME),
        case("WINDOW_UPDATE of 3 bytes", window).differs(H2_FRAME),
        case("WINDOW_UPDATE of 5 bytes", frame(8, 0, 0, &[0, 0, 0, 1, 0])).differs(H2_FRAME),
        case("GOAWAY of 7 bytes", goaway).differs(H2_FRAME),
        Case::new(
            "PRIORITY of 4 bytes",
            "RFC 9113, 6.3",
            [open, frame(PRIORITY, 0, 1, &[0; 4])].concat(),
            Outcome::Stream(Reason::FRAME_SIZE_ERROR),
        )
        .differs(H2_FRAME),
        case("HEADERS too short for their priority", frame(HEADERS, END_HEADERS | PRIORITIZED, 1, &[0, 0, 0]))
            .differs(H2_FRAME),
    ]
}

/// What must be ignored is followed by a good call.
fn unknown() -> Vec<Case> {
    let case = |name, frame: Vec<u8>| Case::new(name, FRAMES, [frame, good(1)].concat(), GOOD);
    let mut reserved = good(1);
    reserved[5] |= 0x80;
    let flags = [frame(HEADERS, END_HEADERS | 0xd2, 1, &Head::check().block()), frame(DATA, 0xf7, 1, EMPTY)].concat();
    let priority = |on: u8| frame(PRIORITY, 0, 1, &[0, 0, 0, on, 16]);
    let prioritized =
        frame(HEADERS, END_HEADERS | PRIORITIZED, 1, &[&[0, 0, 0, 0, 255], &Head::check().block()[..]].concat());
    vec![
        case("a frame of a kind that nobody knows", frame(0x77, 0xff, 0, &[1, 2, 3])),
        case("the same on a stream that is not open", frame(0x77, 0, 99, &[])),
        case("PING with flags that nobody knows", frame(PING, 0xfe, 0, &[7; 8])),
        case("an answer to no PING", frame(PING, 1, 0, &[7; 8])),
        case("ALTSVC", frame(0x0a, 0, 0, &[0, 0])),
        case("ORIGIN", frame(0x0c, 0, 0, &[])),
        Case::new("the reserved bit of a stream", FRAMES, reserved, GOOD),
        Case::new("HEADERS and DATA with flags that nobody knows", FRAMES, flags, GOOD),
        case("PRIORITY of a stream that is not open", priority(0)),
        case("PRIORITY of a stream on itself", priority(1))
            .differs((MALFORMED, "h2 does as RFC 7540 said, whose priorities RFC 9113 has given up")),
        Case::new("HEADERS with a priority", FRAMES, [prioritized, data(1, EMPTY)].concat(), GOOD),
        case("GOAWAY without an error", frame(GOAWAY, 0, 0, &[0; 8])),
        case("GOAWAY with a text", frame(GOAWAY, 0, 0, &[&[0; 8], &b"bye"[..]].concat())),
    ]
}

fn on_no_stream() -> Vec<Case> {
    let case = |name, rule, frame: Vec<u8>| Case::new(name, rule, frame, PROTOCOL);
    vec![
        case("DATA on no stream", "RFC 9113, 6.1", data(0, EMPTY)),
        case("HEADERS on no stream", "RFC 9113, 6.2", frame(HEADERS, END_HEADERS, 0, &Head::check().block())),
        case("PRIORITY on no stream", "RFC 9113, 6.3", frame(PRIORITY, 0, 0, &[0; 5])),
        case("RST_STREAM on no stream", "RFC 9113, 6.4", frame(RST_STREAM, 0, 0, &[0; 4])),
        case("CONTINUATION on no stream", "RFC 9113, 6.10", frame(CONTINUATION, END_HEADERS, 0, &[])),
        case("PUSH_PROMISE on no stream", "RFC 9113, 6.6", frame(PUSH_PROMISE, END_HEADERS, 0, &[0, 0, 0, 2])),
        case("SETTINGS on a stream", "RFC 9113, 6.5", frame(SETTINGS, 0, 1, &[])),
        case("PING on a stream", "RFC 9113, 6.7", frame(PING, 0, 1, &[0; 8])),
        case("GOAWAY on a stream", "RFC 9113, 6.8", frame(GOAWAY, 0, 1, &[0; 8])),
    ]
}

fn continuations() -> Vec<Case> {
    let case = |name, sent: Vec<u8>, right| Case::new(name, "RFC 9113, 6.10", sent, right);
    let block = Head::check().block();
    let (first, second) = block.split_at(20);
    let begun = frame(HEADERS, 0, 1, first);
    let rest = frame(CONTINUATION, END_HEADERS, 1, second);
    let bytes: Vec<u8> = second.iter().flat_map(|byte| frame(CONTINUATION, 0, 1, &[*byte])).collect();
    let after = |frame: Vec<u8>| [begun.clone(), frame].concat();
    let empty = frame(CONTINUATION, END_HEADERS, 1, &[]);
    vec![
        case("headers in two frames", [begun.clone(), rest.clone(), data(1, EMPTY)].concat(), GOOD),
        case(
            "headers in one frame and none",
            [frame(HEADERS, 0, 1, &block), empty.clone(), data(1, EMPTY)].concat(),
            GOOD,
        ),
        case(
            "headers in three frames, one empty",
            [begun.clone(), frame(CONTINUATION, 0, 1, &[]), rest, data(1, EMPTY)].concat(),
            GOOD,
        ),
        case("CONTINUATION without HEADERS", empty.clone(), PROTOCOL),
        case("CONTINUATION after the headers have ended", [Head::check().open(1), empty].concat(), PROTOCOL),
        case("CONTINUATION of another stream", after(frame(CONTINUATION, END_HEADERS, 3, second)), PROTOCOL),
        case("DATA within headers", after(frame(DATA, 0, 1, EMPTY)), PROTOCOL),
        case("HEADERS within headers", after(frame(HEADERS, END_HEADERS, 3, &block)), PROTOCOL),
        case("PING within headers", after(frame(PING, 0, 0, &[0; 8])), PROTOCOL),
        case("WINDOW_UPDATE within headers", after(window_update(0, 1)), PROTOCOL),
        case("RST_STREAM within headers", after(frame(RST_STREAM, 0, 1, &[0; 4])), PROTOCOL),
        case("an unknown frame within headers", after(frame(0x77, 0, 1, &[])), PROTOCOL),
        case(
            "more CONTINUATION than headers need",
            [begun, bytes].concat(),
            Outcome::Connection(Reason::ENHANCE_YOUR_CALM),
        ),
    ]
}

fn padding() -> Vec<Case> {
    let headers = |payload: &[u8]| frame(HEADERS, END_HEADERS | PADDED, 1, payload);
    let body = |payload: &[u8]| [Head::check().open(1), frame(DATA, PADDED, 1, payload)].concat();
    let block = Head::check().block();
    let good = [headers(&[&[4], &block[..], &[0; 4]].concat()), data(1, EMPTY)].concat();
    let not_zero = frame(DATA, PADDED | END_STREAM, 1, &[&[2], EMPTY, &[7, 7]].concat());
    vec![
        Case::new("padding behind headers", "RFC 9113, 6.2", good, GOOD),
        Case::new("padding of other than zeros", "RFC 9113, 6.1", [Head::check().open(1), not_zero].concat(), GOOD),
        Case::new("padding as long as DATA", "RFC 9113, 6.1", body(&[5, 0, 0, 0, 0]), PROTOCOL),
        Case::new("padding longer than DATA", "RFC 9113, 6.1", body(&[255, 0, 0]), PROTOCOL),
        Case::new("padding without its length", "RFC 9113, 6.1", body(&[]), FRAME_SIZE).differs(H2_FRAME),
        Case::new("padding longer than HEADERS", "RFC 9113, 6.2", headers(&[&[255], &block[..20]].concat()), PROTOCOL),
        Case::new("padding of HEADERS without its length", "RFC 9113, 6.2", headers(&[]), FRAME_SIZE).differs(H2_FRAME),
    ]
}

fn others() -> Vec<Case> {
    let promise = frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2], &Head::check().block()[..]].concat());
    let reset = |reason: u32| [Head::check().open(1), frame(RST_STREAM, 0, 1, &reason.to_be_bytes())].concat();
    let after_reset = |name, reason| Case::new(name, "RFC 9113, 7", [reset(reason), good(3)].concat(), GOOD).on(3);
    vec![
        Case::new("PUSH_PROMISE of a client", "RFC 9113, 8.4", [Head::check().open(1), promise].concat(), PROTOCOL),
        after_reset("RST_STREAM with a reason that nobody knows", 0xffff_fff0),
        after_reset("RST_STREAM without an error", 0),
        Case::new(
            "HEADERS that end a request and are malformed",
            "RFC 9113, 8.1.1",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x82]),
            MALFORMED,
        ),
    ]
}
