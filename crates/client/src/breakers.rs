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
pub(crate) fn of_peer(peer: &'static str, policies: &Policies) -> Arc<Breakers> {
    breakers(peer, None, policies, |policy| {
        Some(&policy.breaker).filter(|config| matches!(config.kind, Kind::Adaptive(_)))
    })
}

/// Those in front of one endpoint, named after it as well.
pub(crate) fn of_endpoint(peer: &'static str, endpoint: &str, policies: &Policies) -> Arc<Breakers> {
    breakers(peer, Some(endpoint), policies, |policy| {
        Some(&policy.breaker).filter(|config| matches!(config.kind, Kind::ThreeState(_)))
    })
}

fn breakers(
    peer: &'static str,
    endpoint: Option<&str>,
    policies: &Policies,
    config_of: fn(&MethodPolicy) -> Option<&Config>,
) -> Arc<Breakers> {
    let endpoint: Option<Arc<str>> = endpoint.map(Arc::from);
    let breakers = PerMethod::new(policies.clone(), config_of, move |method, _, config| {
        let made = Breaker::try_new(peer, method, config.clone(), Instant::now().into_std());
        let breaker = made.inspect_err(|error| tracing::error!(method, %error, "no breaker")).ok()?;
        let (breaker, name) = match &endpoint {
            Some(endpoint) => (breaker.at_endpoint(Arc::clone(endpoint)), format!("{peer}/{endpoint}/{method}")),
            None => (breaker, format!("{peer}/{method}")),
        };
        let breaker = Arc::new(breaker);
        let live: Arc<dyn Live> = Arc::<Breaker>::clone(&breaker);
        publish("breakers", name, Arc::downgrade(&live));
        Some(breaker)
    })
    // One that is forced open is not to let calls through because the file was edited.
    .handing_on(Breaker::take_over);
    Arc::new(breakers)
}

#[cfg(test)]
mod tests {
    use seawall_provenance::snapshot;

    use super::*;

    /// Endpoints come and go; whatever is a label stays in the metrics for good.
    #[tokio::test]
    async fn an_endpoint_is_in_the_state_of_its_breaker_and_not_in_its_metrics() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.toml");
        std::fs::write(&file, "[default]\nbreaker.kind = \"three_state\"").unwrap();
        let policies = Policies::try_new(seawall_policy::Contract::default(), Some(file)).unwrap();
        let breakers = of_endpoint("metered", "10.0.0.7:50051", &policies);
        let breaker = breakers.get("/any/Method").unwrap();
        let labels: Vec<String> = breaker.labels().iter().map(|label| label.value.as_str().into_owned()).collect();
        assert_eq!(labels, ["metered", "other"]);
        let shown = &snapshot()["breakers"]["metered/10.0.0.7:50051/other"];
        assert_eq!((&shown["peer"], &shown["endpoint"]), (&"metered".into(), &"10.0.0.7:50051".into()));
    }
}
