//! How an attempt ended, as far as it bears on another one.

use std::error::Error as StdError;
use std::fmt;

use http::{HeaderMap, Response};
use seawall_classify::code_of_response;
use tonic::{Code, Status};

use crate::Pushback;

/// Marks a status, in its chain of sources, whose attempt has surely had no effect: it never left
/// this process, or the peer has refused the stream before any of its code saw it (`REFUSED_STREAM`,
/// or a `GOAWAY` with a lower stream id). Such an attempt is made again at once, once, and does not
/// count (gRFC A6, transparent retries).
///
/// ```
/// use std::sync::Arc;
/// use seawall_retry::NotSent;
///
/// let closed = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
/// let mut status = tonic::Status::unavailable("the connection was closed");
/// status.set_source(Arc::new(NotSent::new(closed)));
/// ```
#[derive(Debug)]
pub struct NotSent {
    source: Box<dyn StdError + Send + Sync>,
}

impl NotSent {
    /// Marks `source`.
    pub fn new(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { source: source.into() }
    }

    /// Whether `status` is marked.
    pub fn is_in(status: &Status) -> bool {
        let mut next = status.source();
        while let Some(error) = next {
            if error.is::<Self>() {
                return true;
            }
            next = error.source();
        }
        false
    }
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the call did not reach the peer's code")
    }
}

impl StdError for NotSent {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}

/// The end of an attempt that was only trailers, or an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Its code.
    pub code: Code,
    /// What the peer says about another attempt.
    pub pushback: Option<Pushback>,
    /// Whether the attempt may have had an effect; see [`NotSent`].
    pub was_sent: bool,
}

impl Ended {
    /// `None` if the response has begun: its headers have come, and they are not the end of it.
    pub fn of<B>(answer: &Result<Response<B>, Status>) -> Option<Self> {
        match answer {
            Ok(response) => {
                let code = code_of_response(response)?;
                let was_sent = !response.extensions().get().is_some_and(NotSent::is_in);
                Some(Self::new(code, response.headers(), was_sent))
            }
            Err(status) => Some(Self::new(status.code(), status.metadata().as_ref(), !NotSent::is_in(status))),
        }
    }

    fn new(code: Code, headers: &HeaderMap, was_sent: bool) -> Self {
        Self { code, pushback: Pushback::read(headers), was_sent }
    }
}

/// Why there is no further attempt, though the last one failed in a way that allows for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// As many attempts as allowed have been made.
    AttemptsMax,
    /// The peer wants no further one.
    Pushback,
    /// The request did not fit into the replay buffer.
    Buffer,
    /// The call is made for a call that is itself a retry, which whoever made it retries.
    Chain,
    /// Too few tokens are left.
    Throttled,
    /// The retry budget is used up.
    Budget,
    /// It could not begin before the deadline.
    Deadline,
}

impl Stop {
    /// The reason as metrics and spans have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AttemptsMax => "attempts_max",
            Self::Pushback => "pushback",
            Self::Buffer => "buffer",
            Self::Chain => "chain",
            Self::Throttled => "throttled",
            Self::Budget => "budget",
            Self::Deadline => "deadline",
        }
    }
}
