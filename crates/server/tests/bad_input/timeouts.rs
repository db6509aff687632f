//! `grpc-timeout`: one to eight digits and a unit.

use tonic::Code;

use crate::case::{Case, GOOD, INVALID};
use crate::outcome::Outcome;
use crate::wire::Head;

const GRPC: &str = "gRPC over HTTP/2";

pub(crate) fn cases() -> Vec<Case> {
    let case =
        |name, value: &[u8], right| Case::new(name, GRPC, Head::check().with("grpc-timeout", value).sent(), right);
    let passed = Outcome::Grpc(Code::DeadlineExceeded);
    let twice = Head::check().with("grpc-timeout", "10S").with("grpc-timeout", "1S");
    vec![
        case("grpc-timeout 10S", b"10S", GOOD),
        case("grpc-timeout 99999999H", b"99999999H", GOOD),
        case("grpc-timeout 00000010S", b"00000010S", GOOD),
        case("grpc-timeout 0n", b"0n", passed),
        case("grpc-timeout 0H", b"0H", passed),
        case("grpc-timeout 1n", b"1n", passed),
        case("grpc-timeout that is empty", b"", INVALID),
        case("grpc-timeout S", b"S", INVALID),
        case("grpc-timeout 10", b"10", INVALID),
        case("grpc-timeout 10x", b"10x", INVALID),
        case("grpc-timeout 10s", b"10s", INVALID),
        case("grpc-timeout 10h", b"10h", INVALID),
        case("grpc-timeout 10ms", b"10ms", INVALID),
        case("grpc-timeout 10SS", b"10SS", INVALID),
        case("grpc-timeout of nine digits", b"100000000n", INVALID),
        case("grpc-timeout of thirty digits", b"100000000000000000000000000000S", INVALID),
        case("grpc-timeout -1S", b"-1S", INVALID),
        case("grpc-timeout +1S", b"+1S", INVALID),
        case("grpc-timeout 1 S", b"1 S", INVALID),
        case("grpc-timeout 1.5S", b"1.5S", INVALID),
        case("grpc-timeout 1e3S", b"1e3S", INVALID),
        case("grpc-timeout 0x10S", b"0x10S", INVALID),
        case("grpc-timeout infinity", b"infinity", INVALID),
        case("grpc-timeout 1S, 2S", b"1S, 2S", INVALID),
        case("grpc-timeout that is not ASCII", "\u{661}S".as_bytes(), INVALID),
        case("grpc-timeout that is not UTF-8", b"1\xff", INVALID),
        Case::new("two grpc-timeout", GRPC, twice.sent(), INVALID),
    ]
}
