//! The limits of a server: one on what is in flight, and the rates of its methods.

use std::sync::Arc;

use seawall_limit::{ConcurrencyLimiter, RateConfig, RateLimiter, Store};
use seawall_policy::{PerMethod, Policies};
use seawall_provenance::{Live, publish};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::ServeError;
use crate::config::Config;

/// Those of one server.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) rates: Arc<PerMethod<RateConfig, RateLimiter>>,
    /// None if the settings turn it off.
    pub(crate) concurrency: Option<Arc<ConcurrencyLimiter>>,
    _state: Option<Arc<dyn Live>>,
}

impl Limits {
    /// `store` is where shared rates are kept.
    pub(crate) fn try_new(config: &Config, policies: &Policies, store: Option<Arc<Store>>) -> Result<Self, ServeError> {
        if store.is_none()
            && let Some((_, method)) = policies
                .contract()
                .methods()
                .find(|(id, _)| policies.get(*id).rate.as_ref().is_some_and(|rate| rate.shared))
        {
            return Err(ServeError::NoStore { method: method.name.to_string() });
        }
        let concurrency = config.concurrency.clone().map(ConcurrencyLimiter::try_new).transpose()?.map(Arc::new);
        let state = concurrency.clone().map(|limiter| Arc::new(InFlight(limiter)) as Arc<dyn Live>);
        if let Some(state) = &state {
            publish("limits", "concurrency", Arc::downgrade(state));
        }
        let rates = PerMethod::new(
            policies.clone(),
            |policy| policy.rate.as_ref(),
            move |method, _, config| {
                let made = RateLimiter::try_new(method, usable(method, config, store.is_some()), store.as_ref(), now());
                let limiter =
                    Arc::new(made.inspect_err(|error| tracing::error!(method, %error, "no rate limit")).ok()?);
                let live: Arc<dyn Live> = Arc::<RateLimiter>::clone(&limiter);
                publish("limits", format!("rate/{method}"), Arc::downgrade(&live));
                Some(limiter)
            },
        );
        Ok(Self { rates: Arc::new(rates), concurrency, _state: state })
    }
}

/// A rate that becomes shared by a reload, where there is nothing to share it by, holds for this
/// process.
fn usable(method: &str, config: &RateConfig, has_store: bool) -> RateConfig {
    if config.shared && !has_store {
        tracing::error!(method, "the rate is limited in this process alone: redis.url is not set");
    }
    RateConfig { shared: config.shared && has_store, ..config.clone() }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// What is in flight, for the page of live state.
#[derive(Debug)]
struct InFlight(Arc<ConcurrencyLimiter>);

impl Live for InFlight {
    fn state(&self) -> Value {
        json!(self.0.snapshot(now()))
    }
}
