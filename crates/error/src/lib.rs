//! Typed errors, and the one place where an error becomes a `google.rpc.Status`.
//!
//! An [`Error`] has what a client may see (a code, a stable reason, a message written for it, the
//! standard details) and what it may not: the cause, which stays inside and goes to the log. A
//! service names itself once, as a [`Domain`], and makes its errors from it.
//!
//! ```
//! use seawall_error::{Domain, Error, Violations};
//!
//! const SHOP: Domain = Domain::new("shop.example.com");
//!
//! fn place(sku: &str, quantity: i32) -> Result<(), Error> {
//!     let mut violations = Violations::default();
//!     violations.check(!sku.is_empty(), "sku", "must not be empty");
//!     violations.check(quantity > 0, "quantity", "must be at least 1");
//!     violations.into_result(SHOP)?; // names every bad field at once
//!     Err(SHOP.not_found("SKU_NOT_FOUND", "shop.v1.Article", sku))
//! }
//!
//! let status = tonic::Status::from(place("", 0).unwrap_err());
//! assert_eq!(status.code(), tonic::Code::InvalidArgument);
//! ```
//!
//! # Structure
//! `lib.rs` is the error and its constructors; `violations.rs` collects bad fields; `status.rs` turns
//! an error into a status and adds the trace id to what goes out;
//! `refusal.rs` reads from a status why a policy refused a call.

mod refusal;
mod status;
mod violations;

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use refusal::Refusal;
pub use status::{RETRY_PUSHBACK, add_request_id, code_name};
pub use tonic::Code;
pub use violations::Violations;

type Source = Box<dyn StdError + Send + Sync>;

/// What a call fails with.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: Code,
    domain: Domain,
    reason: &'static str,
    message: String,
    metadata: Vec<(&'static str, String)>,
    detail: Detail,
    retry: Retry,
    source: Option<Source>,
}

/// What the client is told about making the call again (gRFC A6, "Pushback", and
/// `google.rpc.RetryInfo`).
#[derive(Debug, Clone, Copy, Default)]
struct Retry {
    after: Option<Duration>,
    forbidden: bool,
}

/// The standard detail beside `ErrorInfo` that a code calls for.
#[derive(Debug)]
enum Detail {
    None,
    BadRequest(Violations),
    Resource { kind: &'static str, name: String },
}

/// Who gives a reason its meaning: the `domain` of `google.rpc.ErrorInfo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Domain(&'static str);

/// Reasons that any service can answer, because Seawall itself gives them.
pub const SEAWALL: Domain = Domain::new("seawall.dev");

impl Domain {
    /// A domain, by convention the service's name as a host name.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The name.
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// An error of any code. `reason` is stable and in capitals, at most 63 characters; `message` is
    /// for the client's developers.
    pub fn error(self, code: Code, reason: &'static str, message: impl Into<String>) -> Error {
        Error(Box::new(Inner {
            code,
            domain: self,
            reason,
            message: message.into(),
            metadata: Vec::new(),
            detail: Detail::None,
            retry: Retry::default(),
            source: None,
        }))
    }

    /// `INVALID_ARGUMENT` for one field; see [`Violations`] for several.
    pub fn invalid(self, field: &str, description: &str) -> Error {
        let mut violations = Violations::default();
        violations.add(field, description);
        self.bad_request("BAD_REQUEST", violations)
    }

    /// `INVALID_ARGUMENT` with the fields at fault and a reason of its own.
    pub fn bad_request(self, reason: &'static str, violations: Violations) -> Error {
        let message = violations.to_string();
        self.error(Code::InvalidArgument, reason, message).with_detail(Detail::BadRequest(violations))
    }

    /// `NOT_FOUND`, naming the resource: its message type and id.
    pub fn not_found(self, reason: &'static str, kind: &'static str, name: impl Into<String>) -> Error {
        let name = name.into();
        self.error(Code::NotFound, reason, format!("there is no {kind} {name:?}"))
            .with_detail(Detail::Resource { kind, name })
    }

    /// `ALREADY_EXISTS`, naming the resource: its message type and what it is known by.
    pub fn already_exists(self, reason: &'static str, kind: &'static str, name: impl Into<String>) -> Error {
        let name = name.into();
        self.error(Code::AlreadyExists, reason, format!("there already is a {kind} {name:?}"))
            .with_detail(Detail::Resource { kind, name })
    }
}

impl Error {
    /// `INTERNAL`: a mistake of ours. The client learns nothing of `source`, the log all of it.
    pub fn internal(source: impl Into<Source>) -> Self {
        SEAWALL.error(Code::Internal, "INTERNAL", "internal error").with_source(source)
    }

    /// `DEADLINE_EXCEEDED`.
    pub fn deadline_exceeded() -> Self {
        SEAWALL.error(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "the deadline of the call has passed")
    }

    /// What a caller of ours gets when a call of ours fails.
    ///
    /// A dependency that is away, late or overloaded passes its code on, because the caller can act
    /// on it. Every other code is an agreement between us and the dependency that our caller has no
    /// part in: it becomes `INTERNAL`. Handle the codes that mean something (such as `NOT_FOUND`)
    /// before.
    ///
    /// What it says about trying again is passed on too. Where it was a policy that refused the call,
    /// on either side, the message says so, and the metadata has its reason as `cause`.
    pub fn dependency(name: &'static str, status: tonic::Status) -> Self {
        let refusal = Refusal::of(&status);
        let (reason, message) = match status.code() {
            Code::Unavailable => ("DEPENDENCY_UNAVAILABLE", refusal.message(name)),
            Code::DeadlineExceeded => {
                ("DEPENDENCY_DEADLINE_EXCEEDED", format!("the {name} service did not answer before the deadline"))
            }
            Code::ResourceExhausted => ("DEPENDENCY_EXHAUSTED", format!("the {name} service refuses more calls")),
            Code::Cancelled => ("DEPENDENCY_CANCELLED", format!("the call to the {name} service was cancelled")),
            _ => return Self::internal(status).with_metadata("dependency", name),
        };
        let mut error = SEAWALL.error(status.code(), reason, message).with_metadata("dependency", name);
        if let Some(cause) = refusal.cause {
            error = error.with_metadata("cause", cause);
        }
        error.0.retry = refusal.retry;
        error.with_source(status)
    }

    /// Adds the cause. It is logged and never sent.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Adds a pair to the metadata of `ErrorInfo`, which the client sees.
    #[must_use]
    pub fn with_metadata(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.0.metadata.push((key, value.into()));
        self
    }

    /// Says when the call is likely to be taken: in `google.rpc.RetryInfo` for whoever reads errors,
    /// and in `grpc-retry-pushback-ms` for the client's retries.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.0.retry.after = Some(after);
        self
    }

    /// Forbids the client's retries: `grpc-retry-pushback-ms` is -1, whatever `RetryInfo` says about
    /// calls to come.
    #[must_use]
    pub fn without_retry(mut self) -> Self {
        self.0.retry.forbidden = true;
        self
    }

    /// The status code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The stable reason, such as `USER_NOT_FOUND`.
    pub fn reason(&self) -> &'static str {
        self.0.reason
    }

    /// What the client reads.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The bad fields, if that is what is wrong.
    pub fn violations(&self) -> Option<&Violations> {
        match &self.0.detail {
            Detail::BadRequest(violations) => Some(violations),
            Detail::None | Detail::Resource { .. } => None,
        }
    }

    fn with_detail(mut self, detail: Detail) -> Self {
        self.0.detail = detail;
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.reason, self.0.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
