//! Names and values of headers, headers of connections, lengths of contents, trailers of requests.

use crate::case::{Case, GOOD, H2_FIELD, MALFORMED};
use crate::outcome::Outcome;
use crate::requests::Concat as _;
use crate::wire::{EMPTY, END_STREAM, Head, blocks, data, field, frame};

const VALIDITY: &str = "RFC 9113, 8.2.1";
const CONNECTION: &str = "RFC 9113, 8.2.2";
const LENGTH: &str = "RFC 9113, 8.1.1";
const TRAILERS: &str = "RFC 9113, 8.1";
const SIZE: &str = "RFC 6585, 5";

const SPACE: (Outcome, &str) =
    (GOOD, "h2 lets it pass, and gRPC over HTTP/2 leaves it open whether spaces are cut off");
const UNREAD: (Outcome, &str) = (GOOD, "h2 leaves it out, and nothing reads the trailers of a request");

pub(crate) fn cases() -> Vec<Case> {
    [names(), values(), connection(), te(), lengths(), trailers(), sizes()].concat_cases()
}

fn names() -> Vec<Case> {
    let case = |name, header: &[u8]| {
        Case::new(name, VALIDITY, Head::check().with(header, "v").sent(), MALFORMED).differs(H2_FIELD)
    };
    vec![
        case("a name with a capital letter", b"Key"),
        case("a name in capital letters", b"KEY"),
        case("a name with a space", b"ke y"),
        case("a name that ends with a space", b"key "),
        case("a name with a colon", b"ke:y"),
        case("a name with a line end", b"key\r\nother"),
        case("a name with NUL", b"ke\0y"),
        case("a name with DEL", b"ke\x7fy"),
        case("a name that is not ASCII", "kéy".as_bytes()),
        case("a name that is not UTF-8", b"ke\xff"),
        case("a name with a parenthesis", b"key(1)"),
        case("no name", b""),
    ]
}

fn values() -> Vec<Case> {
    let case = |name, value: &[u8], right| Case::new(name, VALIDITY, Head::check().with("key", value).sent(), right);
    vec![
        case("a value with NUL", b"a\0b", MALFORMED).differs(H2_FIELD),
        case("a value with LF", b"a\nb", MALFORMED).differs(H2_FIELD),
        case("a value with CR", b"a\rb", MALFORMED).differs(H2_FIELD),
        case("a value with CR LF and a header", b"a\r\ngrpc-status: 0", MALFORMED).differs(H2_FIELD),
        case("a value that begins with a space", b" a", MALFORMED).differs(SPACE),
        case("a value that ends with a tab", b"a\t", MALFORMED).differs(SPACE),
        case("a value with other control characters", b"a\x01b", MALFORMED).differs(H2_FIELD),
        case("a value that is not UTF-8", b"a\xffb", GOOD),
        case("no value", b"", GOOD),
    ]
}

fn connection() -> Vec<Case> {
    let case = |name, header, value| Case::new(name, CONNECTION, Head::check().with(header, value).sent(), MALFORMED);
    vec![
        case("connection: close", "connection", "close"),
        case("connection: keep-alive", "connection", "keep-alive"),
        case("keep-alive", "keep-alive", "timeout=5"),
        case("proxy-connection", "proxy-connection", "keep-alive"),
        case("transfer-encoding: chunked", "transfer-encoding", "chunked"),
        case("upgrade", "upgrade", "h2c"),
    ]
}

fn te() -> Vec<Case> {
    let case = |name, value: &str, right| Case::new(name, CONNECTION, Head::check().but("te", value).sent(), right);
    vec![
        Case::new("no te", "gRPC over HTTP/2", Head::check().without("te").sent(), GOOD),
        case("te: gzip", "gzip", MALFORMED),
        case("te: trailers, gzip", "trailers, gzip", MALFORMED),
        case("te without a value", "", MALFORMED),
        Case::new("two te", CONNECTION, Head::check().with("te", "trailers").sent(), GOOD),
        Case::new("two te, one of them gzip", CONNECTION, Head::check().with("te", "gzip").sent(), MALFORMED),
    ]
}

fn lengths() -> Vec<Case> {
    let case =
        |name, length: &str, right| Case::new(name, LENGTH, Head::check().with("content-length", length).sent(), right);
    let twice = Head::check().with("content-length", "5").with("content-length", "6");
    let none = blocks(1, END_STREAM, &Head::check().with("content-length", "5").block());
    vec![
        case("a content-length that is right", "5", GOOD),
        case("less than content-length", "6", MALFORMED),
        case("more than content-length", "4", MALFORMED),
        case("content-length 0 and a message", "0", MALFORMED),
        case("a content-length that is no number", "five", MALFORMED),
        case("a content-length below 0", "-5", MALFORMED),
        case("a content-length with a sign", "+5", MALFORMED),
        case("a content-length that is empty", "", MALFORMED),
        case("a content-length of 2^64", "18446744073709551616", MALFORMED),
        Case::new("two lengths that differ", LENGTH, twice.sent(), MALFORMED),
        Case::new("a content-length and no content", LENGTH, none, MALFORMED),
    ]
}

/// A request whose trailers these are.
fn with_trailers(flags: u8, block: &[u8]) -> Vec<u8> {
    [Head::check().open(1), frame(0, 0, 1, EMPTY), blocks(1, flags, block)].concat()
}

fn trailers() -> Vec<Case> {
    let case = |name, block: &[u8], right| Case::new(name, TRAILERS, with_trailers(END_STREAM, block), right);
    let large = field(b"key", &[b'a'; 20_000]);
    vec![
        case("trailers of a request", &field(b"key", b"v"), GOOD),
        case("trailers without a field", &[], GOOD),
        case("trailers with grpc-status", &field(b"grpc-status", b"13"), GOOD),
        case("trailers with a pseudo-header", &field(b":path", b"/"), MALFORMED).differs(UNREAD),
        case("trailers with a pseudo-header of responses", &field(b":status", b"200"), MALFORMED).differs(UNREAD),
        case("trailers with a capital letter", &field(b"Key", b"v"), MALFORMED).differs(H2_FIELD),
        case("trailers with connection", &field(b"connection", b"close"), MALFORMED),
        case("trailers with NUL", &field(b"key", b"\0"), MALFORMED).differs(H2_FIELD),
        case("trailers of 20,000 bytes", &large, Outcome::Http(431)).differs(UNREAD),
        Case::new("trailers that do not end the request", TRAILERS, with_trailers(0, &field(b"key", b"v")), MALFORMED),
        Case::new(
            "trailers in place of a message",
            "gRPC status codes",
            [Head::check().open(1), blocks(1, END_STREAM, &field(b"key", b"v"))].concat(),
            crate::case::UNIMPLEMENTED,
        ),
    ]
}

fn sizes() -> Vec<Case> {
    let too_large = Outcome::Http(431);
    let many = (0..500).fold(Head::check(), |head, _| head.with("k", "v"));
    let some = (0..100).fold(Head::check(), |head, _| head.with("k", "v"));
    let open = |head: &Head| [head.open(1), data(1, EMPTY)].concat();
    vec![
        Case::new("100 headers", SIZE, open(&some), GOOD),
        Case::new("500 headers, which with their overhead are too many", SIZE, open(&many), too_large),
        Case::new("a header of 15,000 bytes", SIZE, Head::check().with("k", [b'a'; 15_000]).sent(), GOOD),
        Case::new("a header of 17,000 bytes", SIZE, Head::check().with("k", [b'a'; 17_000]).sent(), too_large),
        Case::new("a name of 17,000 bytes", SIZE, Head::check().with([b'a'; 17_000], "v").sent(), too_large),
        Case::new(
            "expect: 100-continue",
            "RFC 9110, 10.1.1",
            Head::check().with("expect", "100-continue").sent(),
            GOOD,
        ),
    ]
}
