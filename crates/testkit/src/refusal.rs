//! What a client reads from an error, to be compared as a whole.

use std::fmt::Debug;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// What a client knows of an error.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code of the status.
    pub code: Code,
    /// Of `ErrorInfo`.
    pub reason: String,
    /// Of `BadRequest`, in its order.
    pub fields: Vec<String>,
    /// Of `ResourceInfo`: its type and name.
    pub resource: Option<(String, String)>,
}

impl Refusal {
    /// An error with this reason.
    pub fn new(code: Code, reason: &str) -> Self {
        Self { code, reason: reason.to_owned(), fields: Vec::new(), resource: None }
    }

    /// `INVALID_ARGUMENT` with `BadRequest` for these fields, in this order.
    pub fn bad(fields: &[&str]) -> Self {
        let fields = fields.iter().map(|field| (*field).to_owned()).collect();
        Self { fields, ..Self::new(Code::InvalidArgument, "BAD_REQUEST") }
    }

    /// With `ResourceInfo`: the type of the resource and its name.
    #[must_use]
    pub fn about(self, kind: &str, name: &str) -> Self {
        Self { resource: Some((kind.to_owned(), name.to_owned())), ..self }
    }

    /// What `answer` was refused with.
    ///
    /// # Panics
    /// If it was not, or if the error does not name one of `domains` and the trace.
    pub fn of<T: Debug>(answer: Result<T, Status>, domains: &[&str]) -> Self {
        let status = answer.expect_err("a refusal");
        let details = status.get_error_details();
        let info = details.error_info().expect("ErrorInfo");
        assert!(domains.contains(&info.domain.as_str()), "{}", info.domain);
        let trace_id = &details.request_info().expect("RequestInfo").request_id;
        assert!(trace_id.len() == 32 && trace_id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{trace_id}");
        let violations = details.bad_request().into_iter().flat_map(|bad| &bad.field_violations);
        Self {
            code: status.code(),
            reason: info.reason.clone(),
            fields: violations.map(|violation| violation.field.clone()).collect(),
            resource: details.resource_info().map(|info| (info.resource_type.clone(), info.resource_name.clone())),
        }
    }
}
