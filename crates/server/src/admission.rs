//! Who may call: the guard in front of the methods of a server, where its settings want one.

use seawall_auth::{AuthLayer, Guard};
use seawall_health::{Health, Latch};

use crate::config::Config;
use crate::{ServeError, descriptor_sets};

/// What decides about callers, and what it needs for that.
#[derive(Debug)]
pub(crate) struct Admission {
    guard: Option<Guard>,
    /// Nobody with a token can be let in before the keys of their issuer are there.
    keys: Option<Latch>,
}

impl Admission {
    /// `names` are the services that are served.
    pub(crate) fn try_new(
        config: &Config,
        descriptors: &[u8],
        names: &[&str],
        trust_domain: Option<&str>,
        health: &Health,
    ) -> Result<Self, ServeError> {
        let guard = guard(config, descriptors, trust_domain)?;
        if let Some(guard) = &guard {
            let is_served = |method: &&str| method.split_once('/').is_some_and(|(service, _)| names.contains(&service));
            let denied: Vec<&str> = guard.rules().denied().into_iter().filter(is_served).collect();
            if !denied.is_empty() {
                tracing::warn!(methods = denied.join(", "), "no rule lets anybody call these methods");
            }
        }
        let has_tokens = config.auth.as_ref().is_some_and(|auth| auth.tokens.is_some());
        Ok(Self { guard, keys: has_tokens.then(|| health.latch("keys of tokens")) })
    }

    pub(crate) fn layer(&self) -> AuthLayer {
        AuthLayer::new(self.guard.clone())
    }

    /// Gets what is needed, as long as it is polled; never ends.
    pub(crate) async fn run(self) {
        let Some(guard) = self.guard else { return std::future::pending().await };
        let ready = async {
            guard.ready().await;
            if let Some(keys) = &self.keys {
                keys.ready();
            }
        };
        tokio::join!(guard.run(), ready);
    }
}

/// # Errors
/// With every mistake in the rules of the contracts.
pub(crate) fn guard(
    config: &Config,
    descriptors: &[u8],
    trust_domain: Option<&str>,
) -> Result<Option<Guard>, ServeError> {
    let auth = config.auth.clone();
    Ok(auth.map(|auth| Guard::try_new(auth, trust_domain, &descriptor_sets(descriptors))).transpose()?)
}
