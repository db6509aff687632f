//! Breakers: tripped by a peer that fails, by policy file, and by an operator.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use seawall_error::Error;
use serde_json::Value;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::clock::leap;
use crate::page::{command, state};
use crate::shop::{Running, Shop, create, policies, serve, users};

const CREATE_USER: &str = "seawall.user.v1.UserService/CreateUser";

const THREE_STATE: &str = r#"
breaker.kind = "three_state"
breaker.consecutive_failures = 3
breaker.open_time = "5s"
breaker.probes = 1
"#;

/// A server that fails for as long as it is told to, and how many calls it has had.
struct Patient {
    server: Running,
    is_ill: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
}

impl Patient {
    async fn new() -> Self {
        let (is_ill, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (ill, count) = (Arc::clone(&is_ill), Arc::clone(&calls));
        let server = serve(Shop::new(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            let is_ill = ill.load(Ordering::Relaxed);
            async move { if is_ill { Err(Status::unavailable("ill")) } else { Ok("well".to_owned()) } }
        }))
        .await;
        Self { server, is_ill, calls }
    }

    fn fall_ill(&self, is_ill: bool) {
        self.is_ill.store(is_ill, Ordering::Relaxed);
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

#[tokio::test]
async fn the_throttle_refuses_calls_to_a_peer_that_fails_and_says_so_as_the_cause() {
    let patient = Patient::new().await;
    patient.fall_ill(true);
    let next = users("throttled", &[patient.server.address], &policies(""));
    let front = serve(Shop::new(move |_| {
        let next = next.clone();
        async { create(next).await.map_err(|status| Error::dependency("user", status).into()) }
    }))
    .await;
    // The client of the front throttles nothing, so that every refusal is the front's.
    let users = users("throttled-front", &[front.address], &policies("breaker.kind = \"off\""));
    let mut refusals = Vec::new();
    for _ in 0..200 {
        let status = create(users.clone()).await.unwrap_err();
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!((status.code(), info.reason.as_str()), (Code::Unavailable, "DEPENDENCY_UNAVAILABLE"));
        if info.metadata.get("cause").is_some_and(|cause| cause == "BREAKER_OPEN") {
            refusals.push(status);
        }
    }
    let calls = patient.calls();
    println!("200 calls to a peer that fails: {calls} have reached it, {} were refused", refusals.len());
    assert_eq!(calls + refusals.len(), 200);
    assert!(refusals.len() > 100, "only {} were refused", refusals.len());
    for status in &refusals {
        let after = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
        assert!(after.is_some_and(|after| after <= Duration::from_secs(1)), "RetryInfo says when: {after:?}");
        assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "-1", "and nobody is to retry");
        assert!(status.message().contains("is left alone"), "{}", status.message());
    }
    let name = format!("throttled/{CREATE_USER}");
    let shown = state(front.metrics, "breakers", &name).await;
    assert_eq!(shown["state"], "throttling", "{shown}");
    assert_eq!(shown["refused_total"], refusals.len(), "{shown}");

    // One window later nothing is held against the peer any more.
    patient.fall_ill(false);
    leap(Duration::from_secs(11)).await;
    for _ in 0..50 {
        assert_eq!(create(users.clone()).await.unwrap(), "well");
    }
}

#[tokio::test]
async fn a_three_state_breaker_opens_probes_and_closes_as_the_policy_file_says() {
    let patient = Patient::new().await;
    let users = users("three-state", &[patient.server.address], &policies(THREE_STATE));
    let name = format!("three-state/{}/{CREATE_USER}", patient.server.address);
    let shown = async || state(patient.server.metrics, "breakers", &name).await["state"].clone();
    assert_eq!(create(users.clone()).await.unwrap(), "well");
    assert_eq!(shown().await, "closed");

    patient.fall_ill(true);
    for _ in 0..3 {
        assert_eq!(reason(&create(users.clone()).await.unwrap_err()), "UNAVAILABLE");
    }
    assert_eq!(shown().await, "open");
    let before = patient.calls();
    for _ in 0..20 {
        let status = create(users.clone()).await.unwrap_err();
        assert_eq!(reason(&status), "BREAKER_OPEN");
        let after = status.get_error_details().retry_info().and_then(|info| info.retry_delay).unwrap();
        assert!(after > Duration::ZERO && after <= Duration::from_secs(5), "{after:?}");
    }
    assert_eq!(patient.calls(), before, "the peer is left alone");

    // A probe that fails opens it again, for twice as long.
    leap(Duration::from_millis(5_100)).await;
    assert_eq!(reason(&create(users.clone()).await.unwrap_err()), "UNAVAILABLE");
    assert_eq!(patient.calls(), before + 1);
    leap(Duration::from_millis(5_100)).await;
    assert_eq!(reason(&create(users.clone()).await.unwrap_err()), "BREAKER_OPEN");

    patient.fall_ill(false);
    leap(Duration::from_millis(5_100)).await;
    assert_eq!(create(users.clone()).await.unwrap(), "well");
    assert_eq!(shown().await, "closed");
}

#[tokio::test]
async fn calls_go_around_an_endpoint_whose_breaker_is_open() {
    let (ill, well) = (Patient::new().await, Patient::new().await);
    ill.fall_ill(true);
    let endpoints = [ill.server.address, well.server.address];
    let users = users("breaker-around", &endpoints, &policies(THREE_STATE));
    let name = format!("breaker-around/{}/{CREATE_USER}", ill.server.address);
    while ill.calls() == 0 {
        let _ = create(users.clone()).await;
    }
    // As an operator would who knows more than the breaker.
    command(ill.server.metrics, "breakers", &name, "open").await;
    let before = ill.calls();
    for _ in 0..100 {
        assert_eq!(create(users.clone()).await.unwrap(), "well");
    }
    assert_eq!(ill.calls(), before);
}

#[tokio::test]
async fn an_operator_forces_a_breaker_open_and_closed_and_resets_it() {
    let patient = Patient::new().await;
    let users = users("commanded", &[patient.server.address], &policies(""));
    let metrics = patient.server.metrics;
    let name = format!("commanded/{CREATE_USER}");
    assert_eq!(state(metrics, "breakers", &name).await, Value::Null, "there is none before the first call");
    assert_eq!(create(users.clone()).await.unwrap(), "well");

    command(metrics, "breakers", &name, "open").await;
    assert_eq!(state(metrics, "breakers", &name).await["forced"], "open");
    let before = patient.calls();
    let status = create(users.clone()).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "BREAKER_OPEN"));
    assert_eq!(patient.calls(), before);

    command(metrics, "breakers", &name, "closed").await;
    patient.fall_ill(true);
    for _ in 0..100 {
        assert_eq!(reason(&create(users.clone()).await.unwrap_err()), "UNAVAILABLE");
    }
    assert_eq!(patient.calls(), before + 100, "none is refused, however many fail");

    command(metrics, "breakers", &name, "reset").await;
    let shown = state(metrics, "breakers", &name).await;
    assert_eq!((&shown["forced"], &shown["failures"]), (&Value::Null, &Value::from(0)), "{shown}");
    for _ in 0..100 {
        let _ = create(users.clone()).await;
    }
    assert!(patient.calls() < before + 200, "it refuses calls again");
}
