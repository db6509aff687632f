//! What happens to a call on its way in, outermost first.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use seawall_auth::AuthLayer;
use seawall_deadline::{Deadline, EnforceLayer};
use seawall_limit::{ConcurrencyLayer, CpuLoad, RateLayer, ShedLayer};
use seawall_message::{Expected, ServerLayer as MessageLayer};
use seawall_policy::Policies;
use seawall_propagation::InboundLayer;
use seawall_telemetry::ServerLayer;
use tower::{Service, ServiceBuilder};

use crate::config::Config;
use crate::limits::Limits;
use crate::panics::PanicLayer;
use crate::protocol::ProtocolLayer;
use crate::routes::Routes;
use crate::unary::UnaryLayer;
use crate::whole::Whole;

/// Composes the stack around the routes.
pub(crate) fn stack(
    routes: Routes,
    policies: &Policies,
    limits: Limits,
    auth: AuthLayer,
    config: &Config,
) -> impl Service<
    Request<Incoming>,
    Response = Response<impl Body<Data = bytes::Bytes, Error = tonic::Status> + Send + use<>>,
    Error = Infallible,
    Future: Send + 'static,
> + Clone
+ Send
+ use<> {
    let (of_criticality, of_timeout) = (policies.clone(), policies.clone());
    let (unary, streaming) = (config.timeout_default, config.stream_timeout_default);
    let default_timeout = move |path: &str| {
        let usual = if is_streaming(&of_timeout, path) { streaming } else { unary };
        Some(of_timeout.with(path, |policy| policy.budget).unwrap_or(usual))
    };
    let (rates, concurrency) = (Arc::clone(&limits.rates), limits.concurrency);
    let (kinds, shed_kinds, unary_kinds) = (policies.clone(), policies.clone(), policies.clone());
    let (streams, bytes_max) = (policies.clone(), config.message_bytes_max);
    let cpu = limits.cpu;
    let load = cpu.as_ref().map_or_else(|| CpuLoad::new().0, |cpu| cpu.load.clone());
    ServiceBuilder::new()
        // Outside of everything: what it refuses is no call.
        .layer(ProtocolLayer)
        // Around the whole of a call, so that the span, the metrics and the trace id cover what every other layer answers.
        .layer(ServerLayer::new(policies.contract().methods().map(|(_, method)| &*method.name)))
        // Around all that may panic, inside of what counts the code.
        .layer(PanicLayer)
        // Outside of all that asks how critical a call is, and of all that makes calls of its own.
        .layer(InboundLayer::new(move |path: &str| Some(of_criticality.with(path, |policy| policy.criticality))))
        // Around everything that works or waits for the call, so that all of it is dropped when the
        // deadline passes.
        .layer(EnforceLayer::new(default_timeout))
        // Inside of the deadline, because it may wait for keys; outside of all limits, so that rates can be of
        // callers, and that who may not call takes the place of nobody who may.
        .layer(auth)
        // Before the places of calls in flight are given out: who asks too often is to take none.
        .layer(
            RateLayer::new(move |path: &str| rates.get(path).filter(|_| is_limited(path)))
                .with_deadline(|| Deadline::current().map(|deadline| deadline.instant().into_std())),
        )
        // In front of the limit on concurrency, which refuses the critical calls that this lets through.
        .layer(ShedLayer::new(
            move |path: &str| Some(Arc::clone(&cpu.as_ref().filter(|_| is_limited(path))?.shedder)),
            move |path: &str| !is_streaming(&shed_kinds, path),
            load,
        ))
        // Outside of all that reads a body.
        .map_request(|request: Request<Incoming>| request.map(Whole::new))
        // Before a message is waited for: one that is too large is known by its prefix.
        .layer(MessageLayer::new(move |path: &str| Expected {
            bytes_max,
            is_stream: is_sent_as_stream(&streams, path),
        }))
        // Right outside of the places of calls in flight, which are for neither messages nor answers that wait for
        // their callers; inside of what refuses for less.
        .layer(UnaryLayer::new(
            move |path: &str| is_limited(path) && !is_streaming(&unary_kinds, path),
            config.message_timeout,
            bytes_max,
        ))
        // Innermost of what refuses, so that it times the work itself.
        .layer(
            ConcurrencyLayer::new(
                move |path: &str| concurrency.clone().filter(|_| is_limited(path)),
                move |path: &str| !is_streaming(&kinds, path),
            )
            .with_deadline(|| Deadline::current().map(Deadline::instant)),
        )
        .service(routes)
}

/// Whether limits are for calls of this path. A probe that is refused would have a process killed for
/// being busy.
fn is_limited(path: &str) -> bool {
    !path.starts_with("/grpc.health.") && !path.starts_with("/grpc.reflection.")
}

fn is_streaming(policies: &Policies, path: &str) -> bool {
    let contract = policies.contract();
    contract.id(path).and_then(|id| contract.method(id)).is_some_and(|method| method.is_streaming())
}

/// Whether requests are streams; those of unknown methods are never read.
fn is_sent_as_stream(policies: &Policies, path: &str) -> bool {
    let contract = policies.contract();
    contract.id(path).and_then(|id| contract.method(id)).is_none_or(|method| method.is_client_streaming)
}

#[cfg(test)]
mod tests;
