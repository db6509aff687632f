//! The policy of one method: everything that was declared for it, merged.

use std::time::Duration;

use seawall_classify::{Classifier, Direction, Outcome};
use seawall_limit::RateConfig;
use seawall_propagation::Criticality;
use seawall_retry::{HedgeConfig, Idempotency, RetryConfig};
use tonic::Code;

/// How one method is called. Every part of it has been checked by the crate whose it is.
#[derive(Debug, Clone, PartialEq)]
pub struct MethodPolicy {
    /// How long a call may take, all its attempts together; the deadline of a caller that names none.
    pub budget: Option<Duration>,
    /// What is refused first when there is too much to do.
    pub criticality: Criticality,
    /// Which of its calls may be made twice.
    pub idempotency: Idempotency,
    /// How a call that failed is made again; `None` where it is not.
    pub retry: Option<RetryConfig>,
    /// How a slow call is made again before it has ended; `None` where it is not, and where `retry`
    /// is something.
    pub hedge: Option<HedgeConfig>,
    /// When its callers stop calling it for a while.
    pub breaker: seawall_breaker::Config,
    /// How many calls its server takes; `None` where as many as come.
    pub rate: Option<RateConfig>,
    pub(crate) outcomes: Vec<(Code, Outcome)>,
}

impl MethodPolicy {
    /// What the codes of its calls mean: the usual, but for the outcomes that were declared.
    pub fn classifier(&self, direction: Direction) -> Classifier {
        let usual = Classifier::new(direction, self.idempotency != Idempotency::None);
        self.outcomes.iter().fold(usual, |classifier, (code, outcome)| classifier.with(*code, *outcome))
    }
}
