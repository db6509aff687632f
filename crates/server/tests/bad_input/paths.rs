//! Paths: `/package.Service/Method` and all that is not quite that.

use crate::case::{Case, GOOD, H2_FIELD, MALFORMED, UNIMPLEMENTED};
use crate::wire::{CHECK, Head};

const GRPC: &str = "gRPC status codes";
const REQUEST: &str = "RFC 9113, 8.3.1";

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, path: &str| Case::new(name, GRPC, Head::new(path).sent(), UNIMPLEMENTED);
    let malformed = |name, path: &[u8]| Case::new(name, REQUEST, Head::new(path).sent(), MALFORMED);
    let long = format!("/{}", "a".repeat(8_000));
    let deep = "/a".repeat(2_000);
    vec![
        Case::new("the path of a method", GRPC, Head::check().sent(), GOOD),
        case("/", "/"),
        case("//", "//"),
        case("a path of one part", "/grpc.health.v1.Health"),
        case("a path without a method", "/grpc.health.v1.Health/"),
        case("a path without a service", "//Check"),
        case("a method that nobody knows", "/grpc.health.v1.Health/Nope"),
        case("a method that nobody knows, of a service of ours", "/seawall.user.v1.UserService/Nope"),
        case("a service that is not served", "/seawall.user.v1.UserService/GetUser"),
        case("a service that nobody knows", "/nope.Nope/Check"),
        case("a service without its package", "/Health/Check"),
        case("a method in small letters", "/grpc.health.v1.Health/check"),
        case("a slash at the end", "/grpc.health.v1.Health/Check/"),
        case("a path of three parts", "/grpc.health.v1.Health/Check/extra"),
        case("two slashes within", "/grpc.health.v1.Health//Check"),
        case("two slashes at the beginning", "//grpc.health.v1.Health/Check"),
        case("dots in a path", "/../grpc.health.v1.Health/Check"),
        case("a dot in a path", "/./grpc.health.v1.Health/Check"),
        case("a letter as a percent code", "/grpc.health.v1.Health/%43heck"),
        case("a slash as a percent code", "/grpc.health.v1.Health%2FCheck"),
        case("NUL as a percent code", "/grpc.health.v1.Health/Check%00"),
        case("half a percent code", "/grpc.health.v1.Health/Check%4"),
        case("a query", "/grpc.health.v1.Health/Check?service=x"),
        case("a query that is empty", "/grpc.health.v1.Health/Check?"),
        case("a parameter", "/grpc.health.v1.Health/Check;v=1"),
        case("a wildcard", "/grpc.health.v1.Health/*rest"),
        case("braces", "/grpc.health.v1.Health/{*rest}"),
        case("a path of 8,000 letters", &long),
        case("a path of 2,000 parts", &deep),
        malformed("a path that is empty", b""),
        malformed("a path without a slash", &CHECK.as_bytes()[1..]),
        malformed("* with POST", b"*").differs((UNIMPLEMENTED, "it is as good as any path that no method has")),
        malformed("a path with an authority", b"http://test/grpc.health.v1.Health/Check"),
        malformed("a path with a space", b"/grpc.health.v1.Health/Ch eck"),
        malformed("a path with NUL", b"/grpc.health.v1.Health/Check\0"),
        malformed("a path with a line end", b"/grpc.health.v1.Health/Check\r\nx: y"),
        malformed("a path with a fragment", b"/grpc.health.v1.Health/Check#top")
            .differs((GOOD, "the crate http leaves fragments out, and the path that is left is one")),
        malformed("a path that is not ASCII", "/grpc.health.v1.Health/Chéck".as_bytes())
            .differs((UNIMPLEMENTED, "the crate http takes UTF-8, and no method has such a path")),
        malformed("a path that is not UTF-8", b"/grpc.health.v1.Health/\xff").differs(H2_FIELD),
    ]
}
