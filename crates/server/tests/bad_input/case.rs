//! A row of the table.

use h2::Reason;
use tonic::Code;

use crate::lean::renamed;
use crate::outcome::Outcome;
use crate::wire::HELLO;

/// What is sent, and what must come of it.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Where the right answer stands.
    pub(crate) rule: &'static str,
    /// Sent one after the other; each but the first when stream 1 has been answered.
    pub(crate) parts: Vec<Vec<u8>>,
    /// Whether nothing follows, so that the connection ends in the middle of what was sent.
    pub(crate) is_cut: bool,
    /// The stream that is looked at.
    pub(crate) stream: u32,
    pub(crate) right: Outcome,
    /// What is answered instead, and why.
    pub(crate) differs: Option<(Outcome, &'static str)>,
}

impl Case {
    /// `sent` follows the preface and SETTINGS.
    pub(crate) fn new(name: &'static str, rule: &'static str, sent: Vec<u8>, right: Outcome) -> Self {
        Self::bare(name, rule, [HELLO, &sent].concat(), right)
    }

    /// `sent` is all that is sent.
    pub(crate) fn bare(name: &'static str, rule: &'static str, sent: Vec<u8>, right: Outcome) -> Self {
        Self { name, rule, parts: vec![sent], is_cut: false, stream: 1, right, differs: None }
    }

    /// Sends this when stream 1 has been answered.
    pub(crate) fn then(mut self, sent: Vec<u8>) -> Self {
        self.parts.push(sent);
        self
    }

    /// Closes the connection for what is sent.
    pub(crate) fn cut(mut self) -> Self {
        self.is_cut = true;
        self
    }

    /// Calls the service that is served by our path of unary methods.
    pub(crate) fn lean(mut self) -> Self {
        for part in &mut self.parts {
            *part = renamed(part);
        }
        self
    }

    /// Looks at another stream than 1.
    pub(crate) fn on(mut self, stream: u32) -> Self {
        self.stream = stream;
        self
    }

    /// A known difference; `reason` follows "because".
    pub(crate) fn differs(mut self, difference: (Outcome, &'static str)) -> Self {
        self.differs = Some(difference);
        self
    }

    /// What the server must answer for the test to pass.
    pub(crate) fn answer(&self) -> Outcome {
        self.differs.map_or(self.right, |(got, _)| got)
    }
}

/// What h2 does with a field that cannot be one.
pub(crate) const H2_FIELD: (Outcome, &str) =
    (PROTOCOL, "h2 makes an error of the connection of it, as section 5.4.1 allows");
/// What h2 does with a frame that it cannot read.
pub(crate) const H2_FRAME: (Outcome, &str) =
    (PROTOCOL, "h2 has one reason for all frames that it cannot read, and ends the connection as well");
/// The call is as good as any.
pub(crate) const GOOD: Outcome = Outcome::Grpc(Code::Ok);
/// What RFC 9113, section 8.1.1, says of malformed requests.
pub(crate) const MALFORMED: Outcome = Outcome::Stream(Reason::PROTOCOL_ERROR);
/// Frames that no connection can go on after.
pub(crate) const PROTOCOL: Outcome = Outcome::Connection(Reason::PROTOCOL_ERROR);
pub(crate) const FRAME_SIZE: Outcome = Outcome::Connection(Reason::FRAME_SIZE_ERROR);
pub(crate) const COMPRESSION: Outcome = Outcome::Connection(Reason::COMPRESSION_ERROR);
pub(crate) const UNIMPLEMENTED: Outcome = Outcome::Grpc(Code::Unimplemented);
pub(crate) const INVALID: Outcome = Outcome::Grpc(Code::InvalidArgument);
pub(crate) const INTERNAL: Outcome = Outcome::Grpc(Code::Internal);
