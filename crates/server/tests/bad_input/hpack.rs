//! Compressed headers.

use crate::case::{COMPRESSION, Case, GOOD, H2_FRAME};
use crate::requests::Concat as _;
use crate::wire::{CHECK, EMPTY, Head, blocks, data, string};

const INDEXES: &str = "RFC 7541, 6.1";
const INTEGERS: &str = "RFC 7541, 5.1";
const STRINGS: &str = "RFC 7541, 5.2";
const TABLE: &str = "RFC 7541, 6.3";

pub(crate) fn cases() -> Vec<Case> {
    [good(), indexes(), integers(), strings(), table()].concat_cases()
}

/// A request whose headers are followed by these bytes.
fn followed_by(bytes: &[u8]) -> Vec<u8> {
    [blocks(1, 0, &[&Head::check().block(), bytes].concat()), data(1, EMPTY)].concat()
}

fn preceded_by(bytes: &[u8]) -> Vec<u8> {
    [blocks(1, 0, &[bytes, &Head::check().block()].concat()), data(1, EMPTY)].concat()
}

/// What cannot be decompressed ends the connection (RFC 9113, section 4.3).
fn bad(name: &'static str, rule: &'static str, sent: Vec<u8>) -> Case {
    Case::new(name, rule, sent, COMPRESSION).differs(H2_FRAME)
}

fn good() -> Vec<Case> {
    // POST, http, the path and the content type, by the static table.
    let indexed =
        [&[0x83, 0x86, 0x04], &string(CHECK.as_bytes())[..], &[0x0f, 0x10], &string(b"application/grpc")].concat();
    let never = [&[0x10], &string(b"key")[..], &string(b"v")].concat();
    let into_table = [&[0x40], &string(b"key")[..], &string(b"v"), &[0xbe, 0xbe]].concat();
    // "custom-key" and "custom-value" (RFC 7541, C.4.3).
    let huffman = b"\x00\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf";
    vec![
        Case::new("headers of the static table", INDEXES, [blocks(1, 0, &indexed), data(1, EMPTY)].concat(), GOOD),
        Case::new("a header that is never indexed", "RFC 7541, 6.2.3", followed_by(&never), GOOD),
        Case::new("a header that is indexed and named twice", INDEXES, followed_by(&into_table), GOOD),
        Case::new("a header in Huffman code", STRINGS, followed_by(huffman), GOOD),
    ]
}

fn indexes() -> Vec<Case> {
    let case = |name, bytes: &[u8]| bad(name, INDEXES, followed_by(bytes));
    vec![
        case("index 0", &[0x80]),
        case("an index behind the tables", &[0xff, 0x10]),
        case("the name of an index behind the tables", &[0x7f, 0x10, 1, b'v']),
        case("an index of an empty dynamic table", &[0xbe]),
    ]
}

fn integers() -> Vec<Case> {
    let case = |name, bytes: &[u8]| bad(name, INTEGERS, followed_by(bytes));
    vec![
        case("an index without its end", &[0xff]),
        case("an index without its end, later", &[0xff, 0x80, 0x80]),
        case("an index of 2^70", &[0xff, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
        case("a length of 2^70", &[0, 0x7f, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
        case("zeros in front of an index, too many", &[0xff, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 0]),
    ]
}

fn strings() -> Vec<Case> {
    let case = |name, bytes: &[u8]| bad(name, STRINGS, followed_by(bytes));
    vec![
        case("a name longer than the headers", &[0, 100, b'a']),
        case("a value longer than the headers", &[0, 1, b'a', 100, b'v']),
        case("a name and no value", &[0, 1, b'a']),
        case("Huffman code with EOS", &[0, 1, b'a', 0x84, 0xff, 0xff, 0xff, 0xff]),
        case("Huffman code with a byte of padding", &[0, 1, b'a', 0x82, 0x1f, 0xff]),
        case("Huffman code padded with zeros", &[0, 1, b'a', 0x81, 0x18]),
    ]
}

fn table() -> Vec<Case> {
    vec![
        Case::new("a table of no bytes", TABLE, preceded_by(&[0x20]), GOOD),
        Case::new("two sizes of the table", TABLE, preceded_by(&[0x20, 0x3f, 0xe1, 0x1f]), GOOD),
        bad("a table larger than was allowed", TABLE, preceded_by(&[0x3f, 0xe2, 0x1f])),
        bad("a table of 2^70 bytes", TABLE, preceded_by(&[0x3f, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1])),
        bad("a size of the table behind a header", TABLE, followed_by(&[0x20])),
    ]
}
