//! Why a call of ours was refused, if a policy did so, and what it says about trying again.

use tonic::Status;
use tonic_types::StatusExt as _;

use crate::{RETRY_PUSHBACK, Retry, SEAWALL};

/// What there is to know of a status beside its code.
#[derive(Debug, Default)]
pub(crate) struct Refusal {
    /// The reason of a refusal by one of Seawall's policies.
    pub(crate) cause: Option<&'static str>,
    pub(crate) retry: Retry,
}

/// The policies that refuse with `UNAVAILABLE`, by reason, and what to say of the service.
const POLICIES: [(&str, &str); 3] = [
    ("BREAKER_OPEN", "fails, and is left alone for a while"),
    ("NO_ENDPOINTS", "has no endpoint"),
    ("OVERLOADED", "has too much to do"),
];

impl Refusal {
    pub(crate) fn of(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == SEAWALL.as_str());
        let policy = info.and_then(|info| POLICIES.iter().find(|(reason, _)| *reason == info.reason));
        let pushback = status.metadata().get(RETRY_PUSHBACK);
        Self {
            cause: policy.map(|(reason, _)| *reason),
            retry: Retry {
                after: details.retry_info().and_then(|info| info.retry_delay),
                forbidden: pushback.is_some_and(|value| value.as_bytes().starts_with(b"-")),
            },
        }
    }

    pub(crate) fn message(&self, service: &str) -> String {
        let policy = POLICIES.iter().find(|(reason, _)| Some(*reason) == self.cause);
        let what = policy.map_or("cannot be reached", |(_, what)| what);
        format!("the {service} service {what}")
    }
}
