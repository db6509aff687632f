//! `grpc.health.v1.Health` over the latches.

use std::pin::Pin;

use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthService, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::{Health, State};

impl Health {
    /// The gRPC service.
    pub fn service(&self) -> HealthServer<impl HealthService> {
        HealthServer::new(self.clone())
    }
}

/// The status of a service as it is asked for; `None` for a name that nobody registered.
fn status(state: &State, service: &str) -> Option<ServingStatus> {
    let known = service.is_empty() || state.services.contains(&service);
    known.then(|| if state.is_serving() { ServingStatus::Serving } else { ServingStatus::NotServing })
}

#[tonic::async_trait]
impl HealthService for Health {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        let status = status(&self.0.borrow(), &service);
        status
            .map(|status| Response::new(HealthCheckResponse { status: status.into() }))
            // The name is left out: it may be as long as a message, and this goes into a header.
            .ok_or_else(|| Status::not_found("no service of that name is served here"))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    /// Sends the status now and at each change. An unknown name is `SERVICE_UNKNOWN` rather than an
    /// end, because it may be registered later.
    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let service = request.into_inner().service;
        let mut last = None;
        let changes = WatchStream::new(self.0.subscribe()).filter_map(move |state| {
            let status = status(&state, &service).unwrap_or(ServingStatus::ServiceUnknown);
            (last.replace(status) != Some(status)).then(|| Ok(HealthCheckResponse { status: status.into() }))
        });
        Ok(Response::new(Box::pin(changes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(service: &str) -> Request<HealthCheckRequest> {
        Request::new(HealthCheckRequest { service: service.into() })
    }

    #[tokio::test]
    async fn check_knows_the_registered_names_only() {
        let health = Health::new();
        health.register("shop.v1.Shop");
        let latch = health.latch("database");
        for name in ["", "shop.v1.Shop"] {
            let answer = health.check(asking(name)).await.unwrap().into_inner();
            assert_eq!(answer.status(), ServingStatus::NotServing, "{name:?}");
        }
        latch.ready();
        assert_eq!(health.check(asking("")).await.unwrap().into_inner().status(), ServingStatus::Serving);
        let unknown = health.check(asking(&"other".repeat(1_000))).await.unwrap_err();
        assert_eq!(unknown.code(), tonic::Code::NotFound);
        assert!(unknown.message().len() < 100, "what was sent came back in a header");
    }

    #[tokio::test]
    async fn watch_tells_each_change_once() {
        let health = Health::new();
        let latch = health.latch("database");
        let mut watch = health.watch(asking("")).await.unwrap().into_inner();
        let mut next = async || watch.next().await.unwrap().unwrap().status();
        assert_eq!(next().await, ServingStatus::NotServing);
        latch.ready();
        assert_eq!(next().await, ServingStatus::Serving);
        health.register("shop.v1.Shop");
        health.drain();
        assert_eq!(next().await, ServingStatus::NotServing);
    }
}
