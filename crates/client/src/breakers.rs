//! The breakers of a peer, one a method: each kind where it belongs.
//!
//! The adaptive throttle is about a service as a whole: it stands in front of the balancer, and leaves
//! what a single endpoint does to the outlier ejection. A three-state breaker refuses everything for a
//! while, so it stands in front of one endpoint, which the balancer then goes around.

use std::sync::Arc;

use seawall_breaker::{Breaker, Config, Kind};
use seawall_policy::{MethodPolicy, PerMethod, Policies};
use seawall_provenance::{Live, publish};
use tokio::time::Instant;

/// The breakers of a peer or of one of its endpoints.
pub(crate) type Breakers = PerMethod<Config, Breaker>;

/// Those in front of the balancer, named after the peer and the method.
pub(crate) fn of_peer(peer: &str, policies: &Policies) -> Arc<Breakers> {
    breakers(peer.to_owned(), policies, |policy| {
        Some(&policy.breaker).filter(|config| matches!(config.kind, Kind::Adaptive(_)))
    })
}

/// Those in front of one endpoint, named after it as well.
pub(crate) fn of_endpoint(endpoint: String, policies: &Policies) -> Arc<Breakers> {
    breakers(endpoint, policies, |policy| {
        Some(&policy.breaker).filter(|config| matches!(config.kind, Kind::ThreeState(_)))
    })
}

fn breakers(of: String, policies: &Policies, config_of: fn(&MethodPolicy) -> Option<&Config>) -> Arc<Breakers> {
    let breakers = PerMethod::new(policies.clone(), config_of, move |method, _, config| {
        let made = Breaker::try_new(of.as_str(), method, config.clone(), Instant::now().into_std());
        let breaker = Arc::new(made.inspect_err(|error| tracing::error!(method, %error, "no breaker")).ok()?);
        let live: Arc<dyn Live> = Arc::<Breaker>::clone(&breaker);
        publish("breakers", format!("{of}/{method}"), Arc::downgrade(&live));
        Some(breaker)
    })
    // One that is forced open is not to let calls through because the file was edited.
    .handing_on(Breaker::take_over);
    Arc::new(breakers)
}
