//! What a request is: its pseudo-headers, its method, its content type.

use crate::case::{Case, GOOD, H2_FIELD, MALFORMED};
use crate::outcome::Outcome;
use crate::wire::{EMPTY, Head, field};

const PSEUDO: &str = "RFC 9113, 8.3";
const REQUEST: &str = "RFC 9113, 8.3.1";
const HTTP: &str = "RFC 9110";
const GRPC: &str = "gRPC over HTTP/2";
const A41: &str = "gRFC A41";

pub(crate) fn cases() -> Vec<Case> {
    [pseudo_headers(), methods(), schemes(), authorities(), content_types()].concat_cases()
}

/// Puts groups of cases into one.
pub(crate) trait Concat {
    fn concat_cases(self) -> Vec<Case>;
}

impl<const N: usize> Concat for [Vec<Case>; N] {
    fn concat_cases(self) -> Vec<Case> {
        self.into_iter().flatten().collect()
    }
}

fn pseudo_headers() -> Vec<Case> {
    let case = |name, head: Head| Case::new(name, PSEUDO, head.sent(), MALFORMED);
    let late = Head::check().without(":path").with(":path", crate::wire::CHECK);
    vec![
        case("no :method", Head::check().without(":method")),
        case("no :scheme", Head::check().without(":scheme")),
        case("no :path", Head::check().without(":path")),
        case("two :method", Head::check().before(":method", "POST")),
        case("two :scheme", Head::check().before(":scheme", "http")),
        case("two :path", Head::check().before(":path", crate::wire::CHECK)),
        case("two :authority", Head::check().before(":authority", "test")),
        case("a pseudo-header after a header", late),
        case("a pseudo-header that nobody knows", Head::check().before(":grpc", "1")).differs(H2_FIELD),
        case("a pseudo-header of responses", Head::check().before(":status", "200")),
        case("a pseudo-header with capital letters", Head::check().without(":method").before(":Method", "POST"))
            .differs(H2_FIELD),
        case("a pseudo-header without a name", Head::check().before(":", "1")).differs(H2_FIELD),
        Case::new("no header at all", PSEUDO, crate::wire::blocks(1, 1, &[]), MALFORMED),
    ]
}

fn methods() -> Vec<Case> {
    let case = |name, method: &str, right| Case::new(name, GRPC, Head::check().but(":method", method).sent(), right);
    let not_allowed = Outcome::Http(405);
    let connect = Head::check().without(":path").without(":scheme").but(":method", "CONNECT");
    let tunnel = Head::check().but(":method", "CONNECT");
    let extended = tunnel.clone().before(":protocol", "websocket");
    vec![
        case("GET", "GET", not_allowed),
        case("HEAD", "HEAD", not_allowed),
        case("PUT", "PUT", not_allowed),
        case("DELETE", "DELETE", not_allowed),
        case("PATCH", "PATCH", not_allowed),
        case("TRACE", "TRACE", not_allowed),
        case("OPTIONS", "OPTIONS", not_allowed),
        case("BREW", "BREW", not_allowed),
        case("post, in small letters", "post", not_allowed),
        Case::new("OPTIONS *", HTTP, Head::new("*").but(":method", "OPTIONS").sent(), not_allowed),
        Case::new("PRI, as in the preface", HTTP, Head::new("*").but(":method", "PRI").sent(), not_allowed),
        Case::new("a method with a space", HTTP, Head::check().but(":method", "PO ST").sent(), MALFORMED)
            .differs(H2_FIELD),
        Case::new("a method without a letter", HTTP, Head::check().but(":method", "").sent(), MALFORMED)
            .differs(H2_FIELD),
        Case::new("CONNECT", "RFC 9113, 8.5", connect.sent(), not_allowed),
        Case::new("CONNECT with :scheme and :path", "RFC 9113, 8.5", tunnel.sent(), MALFORMED),
        Case::new("extended CONNECT that was not offered", "RFC 8441, 4", extended.sent(), MALFORMED),
        Case::new(":protocol on a POST", "RFC 8441, 4", Head::check().before(":protocol", "grpc").sent(), MALFORMED),
    ]
}

fn schemes() -> Vec<Case> {
    let case = |name, scheme: &str, right| Case::new(name, REQUEST, Head::check().but(":scheme", scheme).sent(), right);
    vec![
        case("https where no TLS is: a proxy may have ended it", "https", GOOD),
        case("a scheme of another protocol", "ftp", GOOD),
        case("HTTP, in capital letters", "HTTP", GOOD),
        case("a scheme that cannot be one", "ht!tp", MALFORMED),
        case("a scheme without a letter", "", MALFORMED)
            .differs((GOOD, "h2 takes it for no scheme to be looked at, and no call depends on it")),
    ]
}

/// What the crate http takes for an authority.
const UNREAD: (Outcome, &str) = (GOOD, "the crate http lets it pass, and nothing reads the authority");

fn authorities() -> Vec<Case> {
    let of = |authority: &str| Head::check().but(":authority", authority);
    let none = Head::check().without(":authority");
    vec![
        Case::new("no :authority and no host", GRPC, none.clone().sent(), GOOD),
        Case::new("host in place of :authority", REQUEST, none.clone().with("host", "test").sent(), GOOD),
        Case::new("host beside :authority", A41, Head::check().with("host", "other").sent(), GOOD),
        Case::new("two host", A41, none.with("host", "test").with("host", "test").sent(), Outcome::Http(400)),
        Case::new(":authority with a port", REQUEST, of("test:50051").sent(), GOOD),
        Case::new(":authority of IPv6", REQUEST, of("[::1]:50051").sent(), GOOD),
        Case::new(":authority with a user", REQUEST, of("user@test").sent(), MALFORMED).differs(UNREAD),
        Case::new(":authority with a space", REQUEST, of("te st").sent(), MALFORMED),
        Case::new(":authority with a path", REQUEST, of("test/path").sent(), MALFORMED),
        Case::new(":authority with a port that is none", REQUEST, of("test:port").sent(), MALFORMED).differs(UNREAD),
        Case::new(":authority with half a bracket", REQUEST, of("[::1").sent(), MALFORMED),
        Case::new(":authority of 4,000 letters", REQUEST, of(&"a".repeat(4_000)).sent(), GOOD),
    ]
}

fn content_types() -> Vec<Case> {
    let case = |name, value: &str, right| Case::new(name, GRPC, Head::check().but("content-type", value).sent(), right);
    let unsupported = Outcome::Http(415);
    let none = Head::check().without("content-type");
    let twice = Head::check().with("content-type", "application/json");
    let bare = [none.block(), field(b"content-type", b"")].concat();
    let bare = [crate::wire::blocks(1, 0, &bare), crate::wire::data(1, EMPTY)].concat();
    vec![
        Case::new("no content-type", GRPC, none.sent(), unsupported),
        Case::new("a content-type that is empty", GRPC, bare, unsupported),
        case("application/json", "application/json", unsupported),
        case("application/grpc-web", "application/grpc-web", unsupported),
        case("application/grpc-web+proto", "application/grpc-web+proto", unsupported),
        case("application/grpc-web-text", "application/grpc-web-text", unsupported),
        case("application/grpcfoo", "application/grpcfoo", unsupported),
        case("application/grp", "application/grp", unsupported),
        case("text/html", "text/html", unsupported),
        case("application/x-protobuf", "application/x-protobuf", unsupported),
        case("two kinds with a comma", "application/grpc, application/json", unsupported),
        case("application/grpc+proto", "application/grpc+proto", GOOD),
        case("application/grpc with a parameter", "application/grpc; charset=utf-8", GOOD),
        case("application/grpc with a space behind it", "application/grpc ;v=1", unsupported),
        case("APPLICATION/GRPC", "APPLICATION/GRPC", GOOD),
        Case::new("two content-type", HTTP, twice.sent(), unsupported),
    ]
}
