//! The health of an endpoint as it tells it: `grpc.health.v1.Health/Watch` (gRFC A17).
//!
//! States: unknown, which counts as not serving → serving ⇄ not serving, by what it says; a watch
//! that breaks off → not serving, until the next one says something; no health service → serving,
//! for good.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use tokio::time::Instant;
use tonic::client::GrpcService;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::discover::Address;
use crate::member::Vitals;
use crate::tell::tell_health;

/// The first wait after a watch that broke off before it had lasted so long, and the longest: those of gRPC's connection back-off,
/// with its factor of 1.6 and jitter of 20 %.
const BACKOFF: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(120);

/// Watches until it is dropped, or the endpoint has no health service. The watch is the one call
/// without a deadline: a connection that is lost ends it by its keepalive.
pub(crate) async fn watch<S>(
    endpoint: S,
    target: &'static str,
    service: Arc<str>,
    address: Address,
    vitals: Arc<Vitals>,
) where
    S: GrpcService<tonic::body::Body>,
    S::ResponseBody: Body<Data = Bytes> + Send + 'static,
    <S::ResponseBody as Body>::Error: Into<tonic::codegen::StdError> + Send,
{
    let mut client = HealthClient::new(endpoint);
    let mut heard = None;
    let mut hear = |is_serving: bool, why: &str| {
        vitals.set_serving(is_serving);
        if heard.replace(is_serving) != Some(is_serving) {
            tell_health(target, &address, is_serving, why);
        }
    };
    let mut backoff = BACKOFF;
    loop {
        let begun = Instant::now();
        let mut has_heard = false;
        let end = follow(&mut client, &service, |status| {
            has_heard = true;
            hear(status == ServingStatus::Serving, status.as_str_name());
        })
        .await;
        if end.code() == Code::Unimplemented {
            return hear(true, "it has no health service");
        }
        hear(false, "its health cannot be watched");
        if has_heard {
            backoff = BACKOFF;
            // The end of a connection's time, most likely. One that ends sooner would be watched in a loop.
            if begun.elapsed() >= BACKOFF {
                continue;
            }
        }
        tokio::time::sleep(backoff.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
        backoff = backoff.mul_f64(1.6).min(BACKOFF_MAX);
    }
}

/// One watch, to its end.
async fn follow<S>(client: &mut HealthClient<S>, service: &str, mut hear: impl FnMut(ServingStatus)) -> Status
where
    S: GrpcService<tonic::body::Body>,
    S::ResponseBody: Body<Data = Bytes> + Send + 'static,
    <S::ResponseBody as Body>::Error: Into<tonic::codegen::StdError> + Send,
{
    let mut statuses = match client.watch(HealthCheckRequest { service: service.to_owned() }).await {
        Ok(response) => response.into_inner(),
        Err(status) => return status,
    };
    loop {
        match statuses.message().await {
            Ok(Some(status)) => hear(status.status()),
            Ok(None) => return Status::unavailable("the watch has ended"),
            Err(status) => return status,
        }
    }
}
