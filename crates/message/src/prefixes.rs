//! The prefixes of messages (gRPC over HTTP/2, `Length-Prefixed-Message`), wherever frames cut them.

use seawall_error::{Error, SEAWALL};
use tonic::Code;

const PREFIX_BYTES: usize = 5;

/// What a body is expected to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// The length of a message, at most, in bytes; as it is sent, which is compressed if it is.
    pub bytes_max: usize,
    /// Whether there may be any number of messages, rather than one.
    pub is_stream: bool,
}

/// What has been seen of a body.
#[derive(Debug)]
pub(crate) struct Prefixes {
    expected: Expected,
    prefix: [u8; PREFIX_BYTES],
    /// How much of the prefix is there.
    filled: usize,
    /// How much of the message is still to come.
    rest: usize,
    has_one: bool,
}

impl Prefixes {
    pub(crate) fn new(expected: Expected) -> Self {
        Self { expected, prefix: [0; PREFIX_BYTES], filled: 0, rest: 0, has_one: false }
    }

    /// Reads on.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        loop {
            let skipped = bytes.len().min(self.rest);
            self.rest -= skipped;
            bytes = &bytes[skipped..];
            let taken = bytes.len().min(PREFIX_BYTES - self.filled);
            if taken == 0 {
                return Ok(());
            }
            self.prefix[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled < PREFIX_BYTES {
                return Ok(());
            }
            self.filled = 0;
            let [_compressed, length @ ..] = self.prefix;
            self.begin(u32::from_be_bytes(length) as usize)?;
        }
    }

    fn begin(&mut self, length: usize) -> Result<(), Error> {
        let Expected { bytes_max, is_stream } = self.expected;
        if self.has_one && !is_stream {
            return Err(number("there is more than one message, and the method has one"));
        }
        if length > bytes_max {
            let message = format!("a message has {length} bytes; at most {bytes_max} are allowed");
            return Err(SEAWALL.error(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", message));
        }
        self.has_one = true;
        self.rest = length;
        Ok(())
    }

    /// Whether the body may end here.
    pub(crate) fn may_end(&self) -> bool {
        self.filled == 0 && self.rest == 0 && (self.has_one || self.expected.is_stream)
    }

    /// The body has ended.
    pub(crate) fn end(&self) -> Result<(), Error> {
        if self.filled > 0 || self.rest > 0 {
            let message = "the last message has not come whole";
            return Err(SEAWALL.error(Code::Internal, "MESSAGE_CUT_OFF", message));
        }
        if self.has_one || self.expected.is_stream {
            return Ok(());
        }
        Err(number("there is no message, and the method has one"))
    }
}

fn number(message: &str) -> Error {
    SEAWALL.error(Code::Unimplemented, "WRONG_NUMBER_OF_MESSAGES", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes_of(lengths: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for length in lengths {
            bytes.push(0);
            bytes.extend((*length as u32).to_be_bytes());
            bytes.extend(std::iter::repeat_n(7, *length));
        }
        bytes
    }

    proptest! {
        #[test]
        fn every_body_is_judged_alike_however_it_is_cut(
            lengths in prop::collection::vec(0usize..40, 0..6),
            cuts in prop::collection::vec(1usize..12, 1..50),
            bytes_max in 0usize..40,
            is_stream in any::<bool>(),
        ) {
            let bytes = bytes_of(&lengths);
            let mut prefixes = Prefixes::new(Expected { bytes_max, is_stream });
            let (mut rest, mut judged) = (&bytes[..], Ok(()));
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at(rest.len().min(*cut));
                judged = prefixes.read(now);
                rest = later;
                if rest.is_empty() || judged.is_err() { break; }
            }
            prop_assert_eq!(prefixes.may_end(), prefixes.end().is_ok());
            let judged = judged.and_then(|()| prefixes.end()).map_err(|error| error.reason());
            let first_bad = lengths.iter().position(|length| *length > bytes_max);
            let model = match first_bad {
                Some(0) => Err("MESSAGE_TOO_LARGE"),
                Some(_) if is_stream => Err("MESSAGE_TOO_LARGE"),
                _ if is_stream || lengths.len() == 1 => Ok(()),
                _ => Err("WRONG_NUMBER_OF_MESSAGES"),
            };
            prop_assert_eq!(judged, model);
        }

        #[test]
        fn a_message_that_has_not_come_whole_is_an_error(length in 0usize..40, cut in 1usize..40, is_stream in any::<bool>()) {
            let bytes = bytes_of(&[length]);
            let bytes = &bytes[..bytes.len().saturating_sub(cut)];
            prop_assume!(!bytes.is_empty());
            let mut prefixes = Prefixes::new(Expected { bytes_max: 40, is_stream });
            prefixes.read(bytes).unwrap();
            prop_assert!(!prefixes.may_end());
            prop_assert_eq!(prefixes.end().map_err(|error| error.reason()), Err("MESSAGE_CUT_OFF"));
        }
    }
}
