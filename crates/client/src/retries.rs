//! The retries and hedges of a peer's methods, and what they may do together.

use std::sync::Arc;

use seawall_policy::{PerMethod, Policies};
use seawall_provenance::{Live, publish};
use seawall_retry::{Allowance, AllowanceConfig, HedgeConfig, HedgePolicy, RetryConfig, RetryPolicy};
use serde_json::{Value, json};
use tokio::time::Instant;

/// Those of one peer.
#[derive(Debug)]
pub(crate) struct Retries {
    retries: PerMethod<RetryConfig, RetryPolicy>,
    hedges: PerMethod<HedgeConfig, HedgePolicy>,
    allowance: Arc<Allowance>,
    _state: Arc<dyn Live>,
}

impl Retries {
    pub(crate) fn new(peer: &'static str, config: &AllowanceConfig, policies: &Policies) -> Self {
        let now = || Instant::now().into_std();
        let allowance = Allowance::try_new(peer, config, now()).or_else(|error| {
            // The settings are checked where they are read; what code makes of them is not.
            tracing::error!(%error, "calls are retried as by default");
            Allowance::try_new(peer, &AllowanceConfig::default(), now())
        });
        let allowance = Arc::new(allowance.expect("the defaults are allowed"));
        let (of_retries, of_hedges) = (Arc::clone(&allowance), Arc::clone(&allowance));
        let state: Arc<dyn Live> = Arc::new(State(Arc::clone(&allowance)));
        publish("retries", peer, Arc::downgrade(&state));
        let retries = PerMethod::new(
            policies.clone(),
            |policy| policy.retry.as_ref(),
            move |method, policy, config| {
                let made = RetryPolicy::try_new(method, config, policy.idempotency, Arc::clone(&of_retries));
                made.inspect_err(|error| tracing::error!(%error, "not retried")).ok().map(Arc::new)
            },
        );
        let hedges = PerMethod::new(
            policies.clone(),
            |policy| policy.hedge.as_ref(),
            move |method, policy, config| {
                let made = HedgePolicy::try_new(method, config, policy.idempotency, Arc::clone(&of_hedges), now());
                made.inspect_err(|error| tracing::error!(%error, "not hedged")).ok().map(Arc::new)
            },
        );
        Self { retries, hedges, allowance, _state: state }
    }

    /// What they may do together.
    pub(crate) fn allowance(&self) -> Arc<Allowance> {
        Arc::clone(&self.allowance)
    }

    pub(crate) fn retry(&self, path: &str) -> Option<Arc<RetryPolicy>> {
        self.retries.get(path)
    }

    pub(crate) fn hedge(&self, path: &str) -> Option<Arc<HedgePolicy>> {
        self.hedges.get(path)
    }
}

/// What the peer's methods may retry together, for the page of live state.
#[derive(Debug)]
struct State(Arc<Allowance>);

impl Live for State {
    fn state(&self) -> Value {
        json!(self.0.snapshot(Instant::now().into_std()))
    }
}
