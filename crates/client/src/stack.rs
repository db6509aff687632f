//! What happens to a call on its way out, outermost first.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use seawall_balance::{Address, Builder, Discover, Pick};
use seawall_breaker::{Breaker, BreakerLayer};
use seawall_classify::{Classifier, Direction};
use seawall_deadline::{BoundLayer, Deadline, ForwardLayer};
use seawall_message::{ClientLayer as MessageLayer, Expected};
use seawall_policy::Policies;
use seawall_propagation::{Criticality, OutboundLayer};
use seawall_retry::{HedgeLayer, RetryLayer};
use seawall_telemetry::{AttemptLayer, ClientLayer};
use tonic::Status;
use tonic::body::Body;
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, ServiceBuilder};

use crate::Config;
use crate::breakers::{self, Breakers};
use crate::discovery::Heeding;
use crate::endpoint::{Guarded, Wire};
use crate::hold::HoldLayer;
use crate::resend::ResendLayer;
use crate::retries::Retries;
use crate::signals::Signals;
use crate::tie::TieLayer;
use crate::wait::WaitLayer;

/// The stack, whose type is no concern of those who call through it.
pub(crate) type Stack = BoxCloneSyncService<Request<Body>, Response<Body>, Status>;

/// How much more than its share an endpoint may have before a keyed call goes to the next one.
const HASH_LOAD_FACTOR: f64 = 1.25;

/// The stack of a peer whose endpoints `discover` finds.
pub(crate) fn stack(peer: &'static str, config: &Config, policies: &Policies, discover: impl Discover) -> Stack {
    BoxCloneSyncService::new(HoldLayer.layer(composed(peer, config, policies, discover)))
}

/// Composes it.
fn composed<D: Discover>(
    peer: &'static str,
    config: &Config,
    policies: &Policies,
    discover: D,
) -> impl tower::Service<
    Request<Body>,
    Response = Response<impl http_body::Body<Data = Bytes, Error = Status> + Send + use<D>>,
    Error = Status,
    Future: Send,
> + Clone
+ Send
+ Sync
+ use<D> {
    let first = config.addresses.first();
    let retries = Arc::new(Retries::new(peer, &config.allowance, policies));
    let signals = Arc::new(Signals::new());
    let (hedges, allowance) = (Arc::clone(&retries), retries.allowance());
    let (of_criticality, of_timeout) = (policies.clone(), policies.clone());
    let (timeout, bytes_max) = (config.timeout, config.message_bytes_max);
    let (of_messages, of_requests) = (policies.clone(), policies.clone());
    ServiceBuilder::new()
        // Outermost, so that a call that finds no time left, or no endpoint, is recorded as well.
        .layer(ClientLayer::new(peer, first.host(), first.port_u16().unwrap_or_default(), names(policies)))
        // Of the answer that the caller gets, whichever attempt it is from: what is wrong with it says
        // nothing about the peer's health. Inside of the records, so that they have what the caller sees.
        .layer(MessageLayer::new(move |path: &str| Expected {
            bytes_max,
            is_stream: is_answered_by_stream(&of_messages, path),
        }))
        // Once for all attempts, which are all as critical. The default is left to the callee, who may
        // know better.
        .layer(OutboundLayer::new(move |path: &str| {
            Some(of_criticality.with(path, |policy| policy.criticality)).filter(|it| *it != Criticality::Default)
        }))
        // One deadline over all attempts, and over the waits between them.
        .layer(BoundLayer::new(move |path: &str| of_timeout.with(path, |policy| policy.budget).unwrap_or(timeout)))
        // A method has a policy in one of these two at most. Inside of the deadline, since no attempt
        // may outlive the call; outside of the balancer, so that each goes where it is best off.
        .layer(HedgeLayer::new(move |path: &str| hedges.hedge(path), remaining))
        .layer(RetryLayer::new(move |path: &str| retries.retry(path), remaining))
        // Inside of retries, so that each attempt is counted, and the last line before the endpoints.
        .layer(breaker(breakers::of_peer(peer, policies), policies))
        // Outside of what may send a request again, which must not break off before that.
        .layer(TieLayer::new(move |path: &str| is_sent_as_stream(&of_requests, path)))
        // Right outside of the balancer, so that a call goes elsewhere when another endpoint is ready, and when
        // its own takes leave.
        .layer(WaitLayer::new(config.wait_for_ready, Arc::clone(&signals)))
        .layer(ResendLayer::new(peer, allowance))
        .service(endpoints(peer, config, policies, discover, signals))
}

/// The names of all methods.
fn names(policies: &Policies) -> impl Iterator<Item = &str> {
    policies.contract().methods().map(|(_, method)| &*method.name)
}

/// A breaker for each method.
fn breaker(
    breakers: Arc<Breakers>,
    policies: &Policies,
) -> BreakerLayer<impl Fn(&str) -> Option<Arc<Breaker>> + Clone + use<>, impl Fn(&str) -> Classifier + Clone + use<>> {
    let policies = policies.clone();
    BreakerLayer::new(move |path: &str| breakers.get(path)).with_classifier(move |path: &str| outbound(&policies, path))
}

/// One endpoint for each attempt, of those that discovery knows.
fn endpoints<D: Discover>(
    peer: &'static str,
    config: &Config,
    policies: &Policies,
    discover: D,
    signals: Arc<Signals>,
) -> impl tower::Service<
    Request<Body>,
    Response = Response<impl http_body::Body<Data = Bytes, Error = Status> + Send + use<D>>,
    Error = Status,
    Future: Send,
> + Clone
+ Send
+ Sync
+ use<D> {
    let settings = seawall_balance::Config {
        pick: match &config.hash_header {
            Some(header) => Pick::Hash { header: header.clone(), load_factor: HASH_LOAD_FACTOR },
            None => Pick::LeastLoaded,
        },
        subset: config.subset,
        outlier: Some(config.outlier.clone()),
        ..seawall_balance::Config::default()
    };
    let mut builder = Builder::try_new(peer, settings).unwrap_or_else(|error| {
        // The settings are checked where they are read; what code makes of them is not.
        tracing::error!(%error, "endpoints are chosen as by default");
        Builder::try_new(peer, seawall_balance::Config::default()).expect("the defaults are allowed")
    });
    if config.health_watch {
        builder = builder.health_watch("");
    }
    let (made_with, classified_by) = (config.clone(), policies.clone());
    let of_endpoint = policies.clone();
    let discover = Heeding::new(discover, Arc::clone(&signals));
    let make = move |address: &Address| endpoint(peer, &made_with, &of_endpoint, address, &signals);
    builder.build(discover, make, move |path: &str| outbound(&classified_by, path))
}

/// The stack of one endpoint: what is about its own state, and each attempt's.
fn endpoint(
    peer: &'static str,
    config: &Config,
    policies: &Policies,
    address: &Address,
    signals: &Arc<Signals>,
) -> impl seawall_balance::Endpoint
+ tower::Service<
    Request<Body>,
    Response = Response<impl http_body::Body<Data = Bytes, Error = Status> + Send + use<>>,
    Error = Status,
    Future: Send,
> + Send
+ Sync
+ use<> {
    let breakers = breakers::of_endpoint(peer, &address.to_string(), policies);
    let wire = Wire::new(config, address, signals);
    let connection = Arc::clone(&wire.0);
    let stack = ServiceBuilder::new()
        // Outside of what counts attempts, since one that is refused here is not sent.
        .layer(breaker(Arc::clone(&breakers), policies))
        .layer(AttemptLayer::new(peer, names(policies)))
        // Around the connection, so that waiting for one counts, and inside of everything that has to
        // see a late attempt as one that failed.
        .layer(ForwardLayer::new(config.deadline_margin))
        .service(wire);
    Guarded { stack, breakers, connection }
}

/// What the codes of the calls of a method mean here.
fn outbound(policies: &Policies, path: &str) -> Classifier {
    policies.with(path, |policy| policy.classifier(Direction::Outbound))
}

/// Whether answers are streams; those of unknown methods may be.
fn is_answered_by_stream(policies: &Policies, path: &str) -> bool {
    let contract = policies.contract();
    contract.id(path).and_then(|id| contract.method(id)).is_none_or(|method| method.is_server_streaming)
}

/// Whether requests are streams; those of unknown methods may be.
fn is_sent_as_stream(policies: &Policies, path: &str) -> bool {
    let contract = policies.contract();
    contract.id(path).and_then(|id| contract.method(id)).is_none_or(|method| method.is_client_streaming)
}

/// What is left of the call's deadline, which the layer outside has set.
fn remaining(_: &HeaderMap) -> Option<Duration> {
    Deadline::current().map(Deadline::remaining)
}

#[cfg(test)]
mod tests {
    use seawall_balance::Static;
    use seawall_config::Reader;

    use super::*;

    /// The type of a composed stack names its layers, the outermost first.
    fn name_of<T>(_: &T) -> &'static str {
        std::any::type_name::<T>()
    }

    #[tokio::test]
    async fn every_layer_stands_where_its_reason_puts_it() {
        let mut reader = Reader::new("", "", [("", "")]);
        let config = Config::read(&mut reader.section("peer"), "http://127.0.0.1:1");
        let composed = composed("peer", &config, &Policies::default(), Static::new([]));
        let expected = [
            "telemetry::client::Client<",
            "message::layers::Client<",
            "propagation::outbound::Outbound<",
            "deadline::bound::Bound<",
            "retry::hedge_layer::Hedge<",
            "retry::retry_layer::Retry<",
            "breaker::breaker_layer::BreakerService<",
            "tie::Tie<",
            "wait::Wait<",
            "resend::Resend<",
            "balance::balance::Balance<",
            "breaker::breaker_layer::BreakerService<",
            "telemetry::attempt::Attempt<",
            "deadline::forward::Forward<",
            "endpoint::Wire",
        ];
        let mut rest = name_of(&composed);
        for layer in expected {
            let at = rest.find(layer).unwrap_or_else(|| panic!("{layer} is not inside of those before it: {rest}"));
            rest = &rest[at + layer.len()..];
        }
    }
}
