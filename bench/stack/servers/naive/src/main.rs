//! tonic with what Seawall's stack does, each wired from a crate that people use for it, as the documentation of
//! that crate has it.
//!
//! `naive multi|current ENDPOINT RATIO [log]`: the runtime, the collector, the share of its traces that is recorded,
//! and whether each call is logged.

mod metered;
mod telemetry;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::{Quota, RateLimiter};
use http::Response;
use stock::Users;
use stock::contract::user_service_server::UserServiceServer;
use tokio::signal::unix::{SignalKind, signal};
use tonic::Status;
use tonic::body::Body;
use tonic::service::{InterceptorLayer, Routes};
use tonic::transport::Server;
use tower::layer::layer_fn;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::{Layer as _, ServiceBuilder};
use tower_http::catch_panic::CatchPanicLayer;
use tower_resilience_circuitbreaker::CircuitBreakerLayer;

use metered::MeteredLayer;

type Failure = Box<dyn std::error::Error>;

/// More than there ever are, so that everything is asked and refuses nobody.
const RATE_PER_SECOND: NonZeroU32 = NonZeroU32::new(100_000_000).unwrap();
const CALLS_MAX: usize = 100_000;
const TIMEOUT: Duration = Duration::from_secs(600);

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [flavour, endpoint, ratio, rest @ ..] = arguments.as_slice() else {
        return Err("usage: naive multi|current ENDPOINT RATIO [log]".into());
    };
    stock::runtime(flavour)?.block_on(serve(endpoint, ratio.parse()?, rest == ["log"]))
}

async fn serve(endpoint: &str, ratio: f64, logs_calls: bool) -> Result<(), Failure> {
    let provider = telemetry::init(endpoint, ratio)?;
    metered::serve()?;
    let limiter = Arc::new(RateLimiter::direct(Quota::per_second(RATE_PER_SECOND)));
    let breaker = CircuitBreakerLayer::standard().classify_response(|response: &Response<Body>| {
        // What has gone wrong in time to be told in the headers.
        Status::from_header_map(response.headers()).is_some_and(|status| status.code() as i32 > 1)
    });
    let breaker = Arc::new(breaker.build()?);
    let layer = ServiceBuilder::new()
        .layer(telemetry::layer(logs_calls))
        .layer(MeteredLayer)
        .layer(CatchPanicLayer::new())
        .load_shed()
        .layer(GlobalConcurrencyLimitLayer::new(CALLS_MAX))
        .layer(InterceptorLayer::new(move |request| match limiter.check() {
            Ok(()) => Ok(request),
            Err(_) => Err(Status::resource_exhausted("too many calls")),
        }))
        // That layer is no `Clone` with a function of one's own in it, which tonic's server wants.
        .layer(layer_fn(move |routes: Routes| breaker.layer(routes)))
        .into_inner();
    let incoming = stock::listen().await?;
    let mut terminate = signal(SignalKind::terminate())?;
    Server::builder()
        .timeout(TIMEOUT)
        .layer(layer)
        .add_service(UserServiceServer::new(Users))
        .serve_with_incoming_shutdown(incoming, async move {
            terminate.recv().await;
        })
        .await?;
    // Blocks until the last spans are sent, by connections that this runtime drives.
    tokio::task::spawn_blocking(move || provider.shutdown()).await??;
    Ok(())
}
