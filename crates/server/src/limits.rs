//! The limits of a server: on what is in flight, by the load of its processors, and on the rates of
//! its methods.

use std::sync::Arc;

use seawall_limit::{
    ConcurrencyLimiter, ConfigError, CpuLoad, CpuSampler, CpuShedder, CpuShedderConfig, RateConfig, RateLimiter, Store,
};
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
    /// The same.
    pub(crate) cpu: Option<Arc<Cpu>>,
    /// Must run for the shedder to know the load.
    sampler: Option<CpuSampler>,
}

impl Limits {
    /// `store` is where shared rates are kept.
    pub(crate) fn try_new(config: &Config, policies: &Policies, store: Option<Arc<Store>>) -> Result<Self, ServeError> {
        if store.is_none() {
            needs_no_store(policies)?;
        }
        let concurrency = config.concurrency.clone().map(ConcurrencyLimiter::try_new).transpose()?.map(Arc::new);
        if let Some(limiter) = concurrency.clone() {
            let live: Arc<dyn Live> = limiter;
            publish("limits", "concurrency", Arc::downgrade(&live));
        }
        let (cpu, sampler) = config.cpu.clone().map(shedder).transpose()?.unzip();
        let rates = PerMethod::new(
            policies.clone(),
            |policy| policy.rate.as_ref(),
            move |method, _, config| {
                let made = RateLimiter::try_new(method, config.clone(), store.as_ref(), now());
                let limiter =
                    Arc::new(made.inspect_err(|error| tracing::error!(method, %error, "no rate limit")).ok()?);
                let live: Arc<dyn Live> = Arc::<RateLimiter>::clone(&limiter);
                publish("limits", format!("rate/{method}"), Arc::downgrade(&live));
                Some(limiter)
            },
        );
        Ok(Self { rates: Arc::new(rates), concurrency, cpu, sampler })
    }

    /// Measures the load for as long as it is polled; never ends.
    pub(crate) fn sampling(&mut self) -> impl Future<Output = ()> + use<> {
        let sampler = self.sampler.take();
        async {
            match sampler {
                Some(sampler) => sampler.run().await,
                None => std::future::pending().await,
            }
        }
    }
}

/// Says that there is no store: from now on, no rate may be shared.
///
/// # Errors
/// If the rate of a method is to be.
pub(crate) fn needs_no_store(policies: &Policies) -> Result<(), ServeError> {
    Ok(policies.refuse_shared_rates("needs redis.url (SEAWALL_REDIS_URL)")?)
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// The shedder with the load that it goes by.
#[derive(Debug)]
pub(crate) struct Cpu {
    pub(crate) shedder: Arc<CpuShedder>,
    pub(crate) load: CpuLoad,
}

impl Live for Cpu {
    fn state(&self) -> Value {
        json!(self.shedder.snapshot(now(), self.load.get()))
    }
}

fn shedder(config: CpuShedderConfig) -> Result<(Arc<Cpu>, CpuSampler), ConfigError> {
    let (load, sampler) = CpuLoad::new();
    let cpu = Arc::new(Cpu { shedder: Arc::new(CpuShedder::try_new(config, now())?), load });
    let live: Arc<dyn Live> = Arc::<Cpu>::clone(&cpu);
    publish("limits", "cpu", Arc::downgrade(&live));
    Ok((cpu, sampler))
}
