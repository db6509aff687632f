//! Metadata: binary values, and the headers that have a meaning to gRPC or to Seawall.

use crate::case::{Case, GOOD, H2_FIELD, INVALID, MALFORMED, UNIMPLEMENTED};
use crate::requests::Concat as _;
use crate::wire::Head;

const GRPC: &str = "gRPC over HTTP/2";
const COMPRESSION: &str = "gRPC compression";
const TRACE: &str = "W3C Trace Context";

pub(crate) fn cases() -> Vec<Case> {
    [binary(), encodings(), ignored()].concat_cases()
}

fn binary() -> Vec<Case> {
    let case = |name, value: &[u8], right| Case::new(name, GRPC, Head::check().with("key-bin", value).sent(), right);
    let second = Head::check().with("key-bin", "AAAA").with("key-bin", "A");
    vec![
        case("-bin AAAA", b"AAAA", GOOD),
        case("-bin AA==", b"AA==", GOOD),
        case("-bin AA, without padding", b"AA", GOOD),
        case("-bin that is empty", b"", GOOD),
        case("-bin with two values", b"AAAA,AA==", GOOD),
        case("-bin A", b"A", INVALID),
        case("-bin AAAAA", b"AAAAA", INVALID),
        case("-bin AA=", b"AA=", INVALID),
        case("-bin ====", b"====", INVALID),
        case("-bin A===", b"A===", INVALID),
        case("-bin AA==AA", b"AA==AA", INVALID),
        case("-bin of base64url", b"-_-_", INVALID),
        case("-bin with a space within", b"AA AA", INVALID),
        case("-bin with a percent sign", b"AA%3D", INVALID),
        case("-bin as bytes", b"\xde\xad\xbe\xef", INVALID),
        case("-bin with a second value that is wrong", b"AAAA,A", INVALID),
        case("-bin with NUL", b"AA\0A", MALFORMED).differs(H2_FIELD),
        case("-bin of 8,000 letters", &[b'A'; 8_000], GOOD),
        case("-bin of 8,001 letters", &[b'A'; 8_001], INVALID),
        Case::new("two -bin, the second wrong", GRPC, second.sent(), INVALID),
        Case::new("a name that is only -bin", GRPC, Head::check().with("-bin", "A").sent(), INVALID),
        Case::new("grpc-trace-bin", GRPC, Head::check().with("grpc-trace-bin", "*").sent(), INVALID),
        Case::new("grpc-tags-bin", GRPC, Head::check().with("grpc-tags-bin", "*").sent(), INVALID),
        Case::new(
            "grpc-status-details-bin of a request",
            GRPC,
            Head::check().with("grpc-status-details-bin", "*").sent(),
            INVALID,
        ),
    ]
}

fn encodings() -> Vec<Case> {
    let case = |name, value: &str, right| {
        Case::new(name, COMPRESSION, Head::check().with("grpc-encoding", value).sent(), right)
    };
    let accept = |name, value: &str| {
        Case::new(name, COMPRESSION, Head::check().with("grpc-accept-encoding", value).sent(), GOOD)
    };
    vec![
        case("grpc-encoding identity", "identity", GOOD),
        case("grpc-encoding that is not spoken", "gzip", UNIMPLEMENTED),
        case("grpc-encoding that nobody knows", "seawall", UNIMPLEMENTED),
        case("grpc-encoding that is empty", "", UNIMPLEMENTED),
        accept("grpc-accept-encoding that nobody knows", "seawall"),
        accept("grpc-accept-encoding that is empty", ""),
        accept("grpc-accept-encoding of commas", ",,,,"),
    ]
}

/// What cannot be understood of these is as if it were not there.
fn ignored() -> Vec<Case> {
    let case = |name, rule, header, value: &[u8]| Case::new(name, rule, Head::check().with(header, value).sent(), GOOD);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let twice = Head::check().with("traceparent", parent).with("traceparent", parent);
    vec![
        case("traceparent of another version", TRACE, "traceparent", b"ff-00-00-00"),
        case("traceparent of zeros", TRACE, "traceparent", b"00-00000000000000000000000000000000-0000000000000000-01"),
        case("traceparent in capital letters", TRACE, "traceparent", parent.to_uppercase().as_bytes()),
        case("traceparent that is cut", TRACE, "traceparent", &parent.as_bytes()[..40]),
        case("traceparent that is not UTF-8", TRACE, "traceparent", b"00-\xff\xfe"),
        case("traceparent of 8,000 letters", TRACE, "traceparent", &[b'0'; 8_000]),
        Case::new("two traceparent", TRACE, twice.sent(), GOOD),
        case("tracestate that is none", TRACE, "tracestate", b"==,,=;"),
        case("baggage that is none", "W3C Baggage", "baggage", b"=;,%zz=%,a=%ff"),
        case("baggage of 8,000 commas", "W3C Baggage", "baggage", &[b','; 8_000]),
        case("grpc-previous-rpc-attempts that is no number", "gRFC A6", "grpc-previous-rpc-attempts", b"many"),
        case("grpc-previous-rpc-attempts below 0", "gRFC A6", "grpc-previous-rpc-attempts", b"-1"),
        case("grpc-message-type", GRPC, "grpc-message-type", b"/"),
        case("a reserved header", GRPC, "grpc-unheard-of", b"1"),
        case("grpc-status in a request", GRPC, "grpc-status", b"13"),
        case("user-agent that is not UTF-8", GRPC, "user-agent", b"\xff\xfe"),
        case("authorization where nobody asks for it", "RFC 9110, 11.6.2", "authorization", b"Basic \xff"),
        case("cookie", "RFC 9113, 8.2.3", "cookie", b"a=b; c"),
    ]
}
