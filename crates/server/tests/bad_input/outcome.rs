//! What comes of a case.

use std::fmt;

use h2::Reason;
use tonic::Code;

/// How a connection or the call on it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// An answer in the terms of HTTP.
    Http(u16),
    /// HTTP 200 and this code.
    Grpc(Code),
    /// `RST_STREAM` with this reason.
    Stream(Reason),
    /// `GOAWAY` with this reason.
    Connection(Reason),
    /// The connection was closed without a word.
    Closed,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(status) => write!(f, "HTTP {status}"),
            Self::Grpc(code) => write!(f, "gRPC {code:?}"),
            Self::Stream(reason) => write!(f, "stream {reason:?}"),
            Self::Connection(reason) => write!(f, "connection {reason:?}"),
            Self::Closed => f.write_str("closed"),
        }
    }
}
