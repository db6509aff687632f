//! How critical a call is: over two hops, and where not everybody can be served.

use std::sync::Arc;
use std::sync::Mutex;

use seawall_limit::{Algorithm, ConcurrencyConfig, FixedConfig};
use seawall_proto::seawall::order::v1::PlaceOrderRequest;
use seawall_proto::seawall::order::v1::order_service_client::OrderServiceClient;
use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;
use seawall_proto::seawall::user::v1::{CreateUserRequest, ListUsersRequest};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use crate::shop::{Running, Shop, channel, create, get, policies, serve, serve_with, until, users};

async fn list(mut users: UserServiceClient<seawall_client::Channel>) -> Result<(), Status> {
    users.list_users(ListUsersRequest::default()).await.map(drop)
}

#[tokio::test]
async fn criticality_travels_over_two_hops() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = |hop: &'static str| {
        let seen = Arc::clone(&seen);
        move |call: &crate::shop::Call| {
            seen.lock().unwrap().push((hop, call.header("seawall-criticality").map(str::to_owned)));
        }
    };
    let noted = note("C");
    let c = serve(Shop::new(move |call| {
        noted(&call);
        async { Ok("c".to_owned()) }
    }))
    .await;
    let (noted, next) = (note("B"), users("criticality-c", &[c.address], &policies("")));
    let b = serve(Shop::new(move |call| {
        noted(&call);
        let next = next.clone();
        // Sheddable by its own contract.
        async { list(next).await.map(|()| "b".to_owned()) }
    }))
    .await;
    let (noted, next) = (note("A"), users("criticality-b", &[b.address], &policies("")));
    let a = serve(Shop::new(move |call| {
        noted(&call);
        let next = next.clone();
        async { get(next).await }
    }))
    .await;
    let orders = OrderServiceClient::new(channel("criticality-a", &[a.address], &policies("")));
    orders.clone().place_order(PlaceOrderRequest::default()).await.unwrap();
    let hops = |criticality: Option<&str>| ["A", "B", "C"].map(|hop| (hop, criticality.map(str::to_owned))).to_vec();
    assert_eq!(std::mem::take(&mut *seen.lock().unwrap()), hops(Some("critical")), "as PlaceOrder is by contract");

    let mut request = Request::new(PlaceOrderRequest::default());
    request.metadata_mut().insert("seawall-criticality", "sheddable".parse().unwrap());
    orders.clone().place_order(request).await.unwrap();
    assert_eq!(std::mem::take(&mut *seen.lock().unwrap()), hops(Some("sheddable")), "what the caller says comes first");
}

/// A server that serves four calls at a time and has no queue, whose calls end when they are let go.
struct Full {
    server: Running,
    let_go: Arc<Semaphore>,
    in_flight: Arc<Semaphore>,
}

impl Full {
    async fn new() -> Self {
        let (let_go, in_flight) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (held, begun) = (Arc::clone(&let_go), Arc::clone(&in_flight));
        let shop = Shop::new(move |call| {
            let (held, begun) = (Arc::clone(&held), Arc::clone(&begun));
            async move {
                // The one that is held.
                if call.method == "CreateUser" {
                    begun.add_permits(1);
                    held.acquire().await.unwrap().forget();
                }
                Ok("served".to_owned())
            }
        });
        let concurrency = ConcurrencyConfig {
            algorithm: Algorithm::Fixed(FixedConfig { limit: 4 }),
            default_share: 0.75,
            sheddable_share: 0.5,
            critical_queue: 0.0,
            default_queue: 0.0,
            sheddable_queue: 0.0,
            ..ConcurrencyConfig::default()
        };
        Self { server: serve_with(shop, &policies(""), Some(concurrency)).await, let_go, in_flight }
    }
}

fn assert_shed(status: &Status) {
    let details = status.get_error_details();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert_eq!(details.error_info().unwrap().reason, "OVERLOADED");
    assert!(details.retry_info().unwrap().retry_delay.is_some());
}

#[tokio::test]
async fn a_critical_call_is_served_where_a_sheddable_one_and_then_a_usual_one_is_shed() {
    let full = Full::new().await;
    let usual = users("shedding", &[full.server.address], &policies("breaker.kind = \"off\""));
    let mut calls = JoinSet::new();
    let hold = async |calls: &mut JoinSet<Result<(), Status>>, criticality: &'static str| {
        let mut users = usual.clone();
        let mut request = Request::new(CreateUserRequest::default());
        request.metadata_mut().insert("seawall-criticality", criticality.parse().unwrap());
        calls.spawn(async move { users.create_user(request).await.map(drop) });
        until("the call is being served", || full.in_flight.available_permits() == calls.len()).await;
    };
    let mut orders = OrderServiceClient::new(channel(
        "shedding-orders",
        &[full.server.address],
        &policies("breaker.kind = \"off\""),
    ));
    hold(&mut calls, "default").await;
    list(usual.clone()).await.unwrap();

    // Two of four: as many as there may be for a sheddable one to be served.
    hold(&mut calls, "default").await;
    assert_shed(&list(usual.clone()).await.unwrap_err());
    hold(&mut calls, "default").await;
    assert_shed(&create(usual.clone()).await.unwrap_err());
    orders.place_order(PlaceOrderRequest::default()).await.unwrap();

    // Full for everybody, but for those who ask after its health.
    hold(&mut calls, "critical").await;
    assert_shed(&list(usual.clone()).await.unwrap_err());
    assert_shed(&create(usual.clone()).await.unwrap_err());
    assert_shed(&orders.place_order(PlaceOrderRequest::default()).await.unwrap_err());
    let health = channel("shedding-health", &[full.server.address], &policies(""));
    for _ in 0..20 {
        let answer = HealthClient::new(health.clone()).check(HealthCheckRequest::default()).await.unwrap();
        assert_eq!(answer.into_inner().status, 1, "SERVING");
    }
    full.let_go.add_permits(calls.len());
    for ended in calls.join_all().await {
        ended.unwrap();
    }
    list(usual).await.unwrap();
}
