//! Messages: prefixes, lengths, compression flags, numbers of them, and what is in them.

use tonic::Code;

use crate::case::{Case, GOOD, INTERNAL, UNIMPLEMENTED};
use crate::outcome::Outcome;
use crate::requests::Concat as _;
use crate::service::COLLECT;
use crate::wire::{DATA, EMPTY, END_STREAM, Head, PADDED, blocks, data, frame};

const GRPC: &str = "gRPC over HTTP/2";
const CODES: &str = "gRPC status codes";
const COMPRESSION: &str = "gRPC compression";

pub(crate) fn cases() -> Vec<Case> {
    [prefixes(), numbers(), encoded(), contents(), cuts()].concat_cases()
}

/// A message behind its prefix.
fn message(content: &[u8]) -> Vec<u8> {
    [&[0][..], &(content.len() as u32).to_be_bytes(), content].concat()
}

fn prefixes() -> Vec<Case> {
    let case = |name, rule, body: &[u8], right| Case::new(name, rule, Head::check().call(1, body), right);
    let exhausted = Outcome::Grpc(Code::ResourceExhausted);
    vec![
        case("half a prefix", GRPC, &[0, 0, 0], INTERNAL),
        case("one byte of a prefix", GRPC, &[0], INTERNAL),
        case("a prefix and no message", GRPC, &[0, 0, 0, 0, 10], INTERNAL),
        case("half a message", GRPC, &[0, 0, 0, 0, 10, 1, 2, 3, 4, 5], INTERNAL),
        case("a message that is one byte short", GRPC, &[0, 0, 0, 0, 2, 40], INTERNAL),
        case("a message and one byte more", GRPC, &[0, 0, 0, 0, 0, 0], INTERNAL),
        case("a message and four bytes more", GRPC, &[0, 0, 0, 0, 0, 0, 0, 0, 0], INTERNAL),
        case("a message of 4 MiB and a byte", CODES, &[0, 0, 64, 0, 1], exhausted),
        case("a message of 4 GiB", CODES, &[0, 255, 255, 255, 255], exhausted),
        case("a message of 2 GiB", CODES, &[0, 128, 0, 0, 0], exhausted),
        case("text where a prefix is to be", CODES, b"{\"service\":\"\"}", exhausted),
    ]
}

fn numbers() -> Vec<Case> {
    let case = |name, body: &[u8], right| Case::new(name, CODES, Head::check().call(1, body), right);
    let stream = |name, body: &[u8], right| Case::new(name, CODES, Head::new(COLLECT).call(1, body), right);
    let none = blocks(1, END_STREAM, &Head::check().block());
    vec![
        case("no message", &[], UNIMPLEMENTED),
        Case::new("no message and no DATA", CODES, none, UNIMPLEMENTED),
        case("two messages", &[EMPTY, EMPTY].concat(), UNIMPLEMENTED),
        case("a hundred messages", &EMPTY.repeat(100), UNIMPLEMENTED),
        case("a message and the prefix of one that is large", &[EMPTY, &[0, 255, 0, 0, 0]].concat(), UNIMPLEMENTED),
        stream("no message in a stream", &[], GOOD),
        stream("a hundred messages in a stream", &EMPTY.repeat(100), GOOD),
        stream("half a prefix in a stream", &[0, 0], INTERNAL),
        stream("half a message in a stream", &[0, 0, 0, 0, 9, 1], INTERNAL),
        stream("a message of 4 GiB in a stream", &[0, 255, 255, 255, 255], Outcome::Grpc(Code::ResourceExhausted)),
        stream("a flag of 2 in a stream", &[2, 0, 0, 0, 0], INTERNAL),
        stream("what is no protobuf in a stream", &message(&[0xff]), INTERNAL),
    ]
}

fn encoded() -> Vec<Case> {
    let case = |name, body: &[u8], right| Case::new(name, COMPRESSION, Head::check().call(1, body), right);
    let with = |name, encoding: &str, body: &[u8], right| {
        Case::new(name, COMPRESSION, Head::check().with("grpc-encoding", encoding).call(1, body), right)
    };
    vec![
        case("compressed, and it is not said how", &[1, 0, 0, 0, 0], INTERNAL),
        case("a compression flag of 2", &[2, 0, 0, 0, 0], INTERNAL),
        case("a compression flag of 255", &[255, 0, 0, 0, 0], INTERNAL),
        with("compressed by identity", "identity", &[1, 0, 0, 0, 0], INTERNAL),
        with("compressed by what is not spoken", "gzip", &[1, 0, 0, 0, 0], UNIMPLEMENTED),
        with("compressed by what nobody knows", "seawall", &[1, 0, 0, 0, 1, 0], UNIMPLEMENTED),
    ]
}

fn contents() -> Vec<Case> {
    let case = |name, content: &[u8], right| Case::new(name, CODES, Head::check().call(1, &message(content)), right);
    let deep = [vec![0x2b; 200], vec![0x2c; 200]].concat();
    let large = message(&[&[0x2a, 0xd0, 0x86, 0x03], &[0; 50_000][..]].concat());
    let large = large.chunks(16_384).fold(Head::check().open(1), |sent, part| [sent, frame(DATA, 0, 1, part)].concat());
    vec![
        case("the health of what nobody knows", b"\x0a\x04nope", Outcome::Grpc(Code::NotFound)),
        case("a field that nobody knows", &[40, 1], GOOD),
        Case::new("a field of 50,000 bytes that nobody knows", CODES, [large, data(1, &[])].concat(), GOOD),
        case("a key without a value", &[0x08], INTERNAL),
        case("half a key", &[0x80], INTERNAL),
        case("a key of eleven bytes", &[0xff; 11], INTERNAL),
        case("a number of eleven bytes", &[&[0x28], &[0xff; 11][..]].concat(), INTERNAL),
        case("field number 0", &[0x02, 0x00], INTERNAL),
        case("a kind of field that there is not", &[0x0f, 0x00], INTERNAL),
        case("a number where text is to be", &[0x08, 0x01], INTERNAL),
        case("text longer than the message", &[0x0a, 0x7f, b'a'], INTERNAL),
        case("text of 2^63 bytes", &[0x0a, 255, 255, 255, 255, 255, 255, 255, 255, 127], INTERNAL),
        case("text that is not UTF-8", &[0x0a, 0x02, 0xc3, 0x28], INTERNAL),
        case("the end of a group that did not begin", &[0x2c], INTERNAL),
        case("a group without end", &[0x2b], INTERNAL),
        case("groups in groups, 200 deep", &deep, INTERNAL),
        case("JSON", b"{\"service\":\"\"}", INTERNAL),
        case("text with NUL in it", b"\x0a\x03a\0b", Outcome::Grpc(Code::NotFound)),
    ]
}

/// A good message however it is cut into frames.
fn cuts() -> Vec<Case> {
    let bytes: Vec<u8> = message(&[40, 1]).iter().flat_map(|byte| frame(DATA, 0, 1, &[*byte])).collect();
    let open = Head::check().open(1);
    let padded = frame(DATA, END_STREAM | PADDED, 1, &[&[3], EMPTY, &[0, 0, 0]].concat());
    let only = frame(DATA, PADDED, 1, &[3, 0, 0, 0]);
    let empty = frame(DATA, 0, 1, &[]);
    vec![
        Case::new("a message byte by byte", GRPC, [open.clone(), bytes, data(1, &[])].concat(), GOOD),
        Case::new("padding behind a message", GRPC, [open.clone(), padded].concat(), GOOD),
        Case::new("DATA of padding alone", GRPC, [open.clone(), only, data(1, EMPTY)].concat(), GOOD),
        Case::new("DATA that is empty", GRPC, [open, empty.clone(), data(1, EMPTY)].concat(), GOOD),
    ]
}
