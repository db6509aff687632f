//! What the outcome of a call means: success, failure, retryable, the caller's fault, cancelled.
//!
//! A [`Classifier`] turns a gRPC code into an [`Outcome`], by the direction of the call and by
//! whether its method is idempotent; a method can have codes of its own. [`ObservedFuture`] tells an
//! [`Observer`] how a call ended, exactly once, whatever its kind: the end of a stream is its
//! trailers, and a call that is dropped has an end too.
//!
//! ```
//! use seawall_classify::{Classifier, Direction, Outcome};
//! use tonic::Code;
//!
//! // A read, for which "not found" after a write would be a lost replica.
//! let read = Classifier::new(Direction::Outbound, true).with(Code::NotFound, Outcome::Failure);
//! assert_eq!(read.classify(Code::Unavailable), Outcome::Retryable);
//! assert_eq!(read.classify(Code::InvalidArgument), Outcome::CallersFault);
//! assert_eq!(read.classify(Code::NotFound), Outcome::Failure);
//! ```
//!
//! # Structure
//! `lib.rs` is the classification; `observed.rs` the future and the body that tell the end of a call.

mod observed;

use tonic::Code;

pub use observed::{End, ObservedBody, ObservedFuture, Observer, code_in, code_of_error, code_of_response};

/// What the end of a call says about the callee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The callee did what it was asked.
    Success,
    /// The callee, or the way to it, failed. The call may have had an effect.
    Failure,
    /// A failure after which the same call may be made again.
    Retryable,
    /// The callee works, and has refused what it was asked. Asking again changes nothing.
    CallersFault,
    /// Nobody waited for the end, which says nothing about the callee.
    Cancelled,
}

impl Outcome {
    /// Whether it counts against the callee.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Failure | Self::Retryable)
    }
}

/// On which side of the wire a call is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Calls that this process serves.
    Inbound,
    /// Calls that this process makes.
    Outbound,
}

/// How many codes gRPC has.
const CODES: usize = 17;

/// A table from codes to outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Classifier {
    outcomes: [Outcome; CODES],
}

impl Classifier {
    /// The usual meaning of each code. Failures are those of Google's SRE book and `UNKNOWN`, with
    /// which many servers answer when their handler fails.
    ///
    /// `UNAVAILABLE` and `RESOURCE_EXHAUSTED` are retryable where the method is idempotent, and
    /// only for who makes the call. A deadline that has passed is not: there is no time left.
    pub const fn new(direction: Direction, is_idempotent: bool) -> Self {
        let mut outcomes = [Outcome::CallersFault; CODES];
        outcomes[Code::Ok as usize] = Outcome::Success;
        outcomes[Code::Cancelled as usize] = Outcome::Cancelled;
        let failures = [Code::Unknown, Code::DeadlineExceeded, Code::Internal, Code::DataLoss];
        let mut i = 0;
        while i < failures.len() {
            outcomes[failures[i] as usize] = Outcome::Failure;
            i += 1;
        }
        let is_retryable = is_idempotent && matches!(direction, Direction::Outbound);
        let busy = if is_retryable { Outcome::Retryable } else { Outcome::Failure };
        outcomes[Code::Unavailable as usize] = busy;
        outcomes[Code::ResourceExhausted as usize] = busy;
        // Our own refusal of a caller who asks too much is no failure of ours.
        if matches!(direction, Direction::Inbound) {
            outcomes[Code::ResourceExhausted as usize] = Outcome::CallersFault;
        }
        Self { outcomes }
    }

    /// The same with another meaning of one code.
    #[must_use]
    pub const fn with(mut self, code: Code, outcome: Outcome) -> Self {
        self.outcomes[code as usize] = outcome;
        self
    }

    /// What a call that ended with `code` says.
    pub const fn classify(&self, code: Code) -> Outcome {
        self.outcomes[code as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_calls_an_idempotent_method_may_call_again() {
        for (direction, is_idempotent) in
            [(Direction::Inbound, true), (Direction::Inbound, false), (Direction::Outbound, false)]
        {
            let classifier = Classifier::new(direction, is_idempotent);
            assert!((0..17).all(|code| classifier.classify(Code::from(code)) != Outcome::Retryable), "{direction:?}");
        }
        let read = Classifier::new(Direction::Outbound, true);
        let retryable: Vec<Code> =
            (0..17).map(Code::from).filter(|code| read.classify(*code) == Outcome::Retryable).collect();
        assert_eq!(retryable, [Code::ResourceExhausted, Code::Unavailable]);
    }

    #[test]
    fn a_callers_mistakes_are_not_held_against_the_callee() {
        let classifier = Classifier::new(Direction::Outbound, false);
        let failures: Vec<Code> =
            (0..17).map(Code::from).filter(|code| classifier.classify(*code).is_failure()).collect();
        let expected = [
            Code::Unknown,
            Code::DeadlineExceeded,
            Code::ResourceExhausted,
            Code::Internal,
            Code::Unavailable,
            Code::DataLoss,
        ];
        assert_eq!(failures, expected);
    }
}
