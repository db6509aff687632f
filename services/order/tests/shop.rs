//! Order and user together, as two processes over real sockets: one trace, one deadline, one
//! cancellation, and nothing lost when one of them is killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use seawall_config::Reader;
use seawall_policy::Policies;
use seawall_proto::seawall::order::v1::order_service_client::OrderServiceClient;
use seawall_proto::seawall::order::v1::{GetOrderRequest, Money, OrderLine, PlaceOrderRequest, PlaceOrderResponse};
use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;
use seawall_proto::seawall::user::v1::{CreateUserRequest, User};
use seawall_testkit::{Collector, Service, postgres};
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

/// Both services, with what they keep.
struct Shop {
    order: Service,
    user: Service,
    orders: OrderServiceClient<Channel>,
    user_id: String,
    _folder: TempDir,
}

impl Shop {
    async fn start(otlp_endpoint: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let url = |name: &str| format!("sqlite://{}", folder.path().join(name).display());
        let urls = [url("user.db"), url("order.db")];
        Self::start_with(urls, otlp_endpoint, folder).await
    }

    async fn start_with([user_sql, order_sql]: [String; 2], otlp_endpoint: &str, folder: TempDir) -> Self {
        let otlp = ("SEAWALL_TELEMETRY_OTLP_ENDPOINT", otlp_endpoint.to_owned());
        // So that what ends a call is the deadline of its caller.
        let policies = folder.path().join("policies.toml");
        std::fs::write(&policies, "['seawall.user.v1.UserService/GetUser']\nbudget = '1min'").unwrap();
        let user = Service::start("user", [("SEAWALL_SQL_URL", user_sql), otlp.clone()]);
        let order_settings = [
            ("SEAWALL_SQL_URL", order_sql),
            ("SEAWALL_USER_ADDRESS", user.url()),
            ("SEAWALL_POLICY_FILE", policies.display().to_string()),
            // Wide, so that even on a busy machine the user service is late before its caller is.
            ("SEAWALL_USER_DEADLINE_MARGIN", "1s".to_owned()),
            otlp,
        ];
        let order = Service::start("order", order_settings);
        let new = User { email: "ada@example.com".into(), display_name: "Ada".into(), ..Default::default() };
        let created = UserServiceClient::new(connect(&user))
            .create_user(CreateUserRequest { user: Some(new) })
            .await
            .unwrap()
            .into_inner();
        let orders = OrderServiceClient::new(connect(&order));
        Self { order, user, orders, user_id: created.user.unwrap().user_id, _folder: folder }
    }

    async fn place(&self, key: &str) -> Result<PlaceOrderResponse, Status> {
        self.orders.clone().place_order(self.request(key)).await.map(tonic::Response::into_inner)
    }

    fn request(&self, key: &str) -> Request<PlaceOrderRequest> {
        let unit_price = Some(Money { currency_code: "EUR".into(), units: 12, nanos: 500_000_000 });
        Request::new(PlaceOrderRequest {
            user_id: self.user_id.clone(),
            lines: vec![OrderLine { sku: "tea".into(), quantity: 2, unit_price }],
            idempotency_key: key.into(),
        })
    }
}

fn connect(service: &Service) -> Channel {
    Channel::from_shared(service.url()).unwrap().connect_lazy()
}

/// A request in a trace of its own, so that the trace can be found.
fn traced<T>(message: Request<T>, trace_id: &str) -> Request<T> {
    let mut request = message;
    let traceparent = format!("00-{trace_id}-00f067aa0ba902b7-01");
    request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn one_order_is_one_trace() {
    let collector = Collector::start().await;
    let shop = Shop::start(collector.endpoint()).await;
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    HealthClient::new(connect(&shop.order)).check(HealthCheckRequest::default()).await.unwrap();
    shop.orders.clone().place_order(traced(shop.request("k1"), id)).await.unwrap();

    let trace = collector
        .trace(id, |trace| {
            let has = |service: &str, name: &str| trace.spans.iter().any(|s| s.service == service && s.name == name);
            has("order", "seawall.order.v1.OrderService/PlaceOrder")
                && has("user", "seawall.user.v1.UserService/GetUser")
        })
        .await;
    let spans = &trace.spans;
    let only = |service: &str, name: &str, kind: &str| {
        let found: Vec<_> = spans
            .iter()
            .filter(|s| s.service == service && s.name == name && format!("{:?}", s.kind).eq_ignore_ascii_case(kind))
            .collect();
        assert_eq!(found.len(), 1, "{service} {name} {kind} in {spans:#?}");
        found[0]
    };
    let order_server = only("order", "seawall.order.v1.OrderService/PlaceOrder", "server");
    let order_client = only("order", "seawall.user.v1.UserService/GetUser", "client");
    let user_server = only("user", "seawall.user.v1.UserService/GetUser", "server");
    let user_sql = only("user", "SELECT users", "client");
    let order_sql = only("order", "INSERT orders", "client");

    assert_eq!(order_server.parent_id.as_deref(), Some("00f067aa0ba902b7"));
    assert_eq!(order_client.parent_id.as_deref(), Some(order_server.span_id.as_str()));
    assert_eq!(user_server.parent_id.as_deref(), Some(order_client.span_id.as_str()));
    assert_eq!(user_sql.parent_id.as_deref(), Some(user_server.span_id.as_str()));
    assert_eq!(order_sql.parent_id.as_deref(), Some(order_server.span_id.as_str()));
    assert!(spans.iter().any(|s| s.service == "user" && s.name == "pool checkout"), "{spans:#?}");
    assert_eq!(order_sql.attribute("db.system.name"), Some("sqlite"));
    assert!(order_sql.attribute("db.query.text").is_some_and(|text| text.contains("$1")));
    assert!(!collector.roots().iter().any(|root| root.contains("Health")), "a probe began a trace");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_names_its_trace() {
    let collector = Collector::start().await;
    let shop = Shop::start(collector.endpoint()).await;
    let mut request = shop.request("k1");
    request.get_mut().user_id = seawall_resource::new_id();
    let status = shop.orders.clone().place_order(request).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "USER_NOT_FOUND");
    let id = &details.request_info().unwrap().request_id;
    let trace = collector.trace(id, |trace| trace.services().len() == 2).await;
    assert!(trace.spans.iter().any(|span| span.code == "NOT_FOUND"));
}

/// Holds the table of users until it is dropped, so that every read of it waits.
struct Held {
    client: tokio_postgres::Client,
}

impl Held {
    async fn hold(url: &str) -> Self {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE").await.unwrap();
        Self { client }
    }

    /// Waits until the number of queries that wait for the table is `count`.
    async fn waiting(&self, count: i64) {
        const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
            WHERE wait_event_type = 'Lock' AND datname = current_database() AND pid <> pg_backend_pid()";
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let now: i64 = self.client.query_one(WAITING, &[]).await.unwrap().get(0);
            if now == count {
                return;
            }
            assert!(Instant::now() < deadline, "{now} queries wait for the table, not {count}");
            tokio::task::yield_now().await;
        }
    }
}

/// A database for each service; `None` where PostgreSQL is to be skipped.
async fn databases() -> Option<[String; 2]> {
    Some([postgres::database().await?, postgres::database().await?])
}

async fn shop_on_postgres(otlp_endpoint: &str) -> Option<(Shop, Held)> {
    let urls = databases().await?;
    let shop = Shop::start_with(urls.clone(), otlp_endpoint, TempDir::new().unwrap()).await;
    let held = Held::hold(&urls[0]).await;
    Some((shop, held))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_the_call_the_call_behind_it_and_the_query() {
    let collector = Collector::start().await;
    let Some((shop, held)) = shop_on_postgres(collector.endpoint()).await else { return };
    let id = "5bf92f3577b34da6a3ce929d0e0e4736";
    let mut request = traced(shop.request("k1"), id);
    request.set_timeout(Duration::from_secs(2));
    let start = Instant::now();
    let status = shop.orders.clone().place_order(request).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert!(start.elapsed() >= Duration::from_millis(900), "it ended early: {:?}", start.elapsed());
    held.waiting(0).await;

    let trace = collector.trace(id, |trace| trace.spans.iter().filter(|s| s.name.contains('/')).count() == 3).await;
    let user = trace.spans.iter().find(|span| span.service == "user" && span.name.contains('/')).unwrap();
    assert_eq!(user.code, "DEADLINE_EXCEEDED", "the user service was not told: {trace:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_the_call_cancels_the_call_behind_it_and_the_query() {
    let collector = Collector::start().await;
    let Some((shop, held)) = shop_on_postgres(collector.endpoint()).await else { return };
    let id = "6bf92f3577b34da6a3ce929d0e0e4736";
    let (mut orders, request) = (shop.orders.clone(), traced(shop.request("k1"), id));
    let call = tokio::spawn(async move { orders.place_order(request).await });
    held.waiting(1).await;
    call.abort();
    held.waiting(0).await;

    let trace = collector.trace(id, |trace| trace.spans.iter().filter(|s| s.name.contains('/')).count() == 3).await;
    for span in trace.spans.iter().filter(|span| span.name.contains('/')) {
        assert_eq!(span.code, "CANCELLED", "{} of {}", span.name, span.service);
    }
}

/// Places orders until the service is killed in the middle, starts it again, and looks for them.
async fn nothing_acknowledged_is_lost(mut shop: Shop) {
    const BEFORE_THE_KILL: usize = 30;
    let (acknowledged, mut received) = tokio::sync::mpsc::unbounded_channel();
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (mut orders, acknowledged) = (shop.orders.clone(), acknowledged.clone());
            let requests: Vec<_> = (0..10_000).map(|n| format!("{writer}-{n}")).collect();
            let user_id = shop.user_id.clone();
            let line = shop.request("").into_inner().lines.remove(0);
            tokio::spawn(async move {
                for idempotency_key in requests {
                    let request =
                        PlaceOrderRequest { user_id: user_id.clone(), lines: vec![line.clone()], idempotency_key };
                    let Ok(placed) = orders.place_order(request.clone()).await else { return };
                    acknowledged.send((request, placed.into_inner())).unwrap();
                }
            })
        })
        .collect();
    drop(acknowledged);
    let mut placed = Vec::new();
    while let Some(one) = received.recv().await {
        placed.push(one);
        if placed.len() == BEFORE_THE_KILL {
            shop.order.kill();
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(placed.len() >= BEFORE_THE_KILL);

    shop.order.start_again();
    let mut orders = OrderServiceClient::new(connect(&shop.order));
    for (request, answer) in placed {
        let order = answer.order.clone().unwrap();
        let kept = orders.get_order(GetOrderRequest { order_id: order.order_id.clone() }).await.unwrap().into_inner();
        assert_eq!(kept.order, Some(order));
        assert_eq!(
            orders.place_order(request).await.unwrap().into_inner(),
            answer,
            "a repeated request made a new order"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_no_acknowledged_order_in_sqlite() {
    nothing_acknowledged_is_lost(Shop::start("").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_no_acknowledged_order_in_postgresql() {
    let Some(urls) = databases().await else { return };
    nothing_acknowledged_is_lost(Shop::start_with(urls, "", TempDir::new().unwrap()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_user_service_may_go_and_come_back() {
    let mut shop = Shop::start("").await;
    shop.place("k1").await.unwrap();
    shop.user.kill();
    let status = shop.place("k2").await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "the user service cannot be reached"));
    shop.place("k1").await.expect("a repeated request needs no user service");
    shop.user.start_again();
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(status) = shop.place("k2").await {
        assert!(Instant::now() < deadline, "still {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_its_spans_and_two_lines() {
    let collector = Collector::start().await;
    let address = collector.endpoint().trim_start_matches("http://").to_owned();
    drop(collector);
    let shop = Shop::start(&format!("http://{address}")).await;
    let said = |what: &str| shop.order.log().iter().filter(|line| line.contains(what)).count();
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut calls = 0;
    while said("the collector is away") == 0 {
        shop.place(&format!("away-{calls}")).await.expect("no call fails for want of a collector");
        calls += 1;
        assert!(Instant::now() < deadline, "nothing was said about the collector:\n{}", shop.order.log().join("\n"));
    }
    let _back = Collector::start_at(&address).await;
    while said("the collector is back") == 0 {
        shop.place(&format!("back-{calls}")).await.unwrap();
        calls += 1;
        assert!(Instant::now() < deadline, "nothing was said about its return:\n{}", shop.order.log().join("\n"));
    }
    assert_eq!(said("the collector is away"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_hands_its_sockets_over_and_no_call_fails() {
    let mut shop = Shop::start("").await;
    let stop = Arc::new(AtomicBool::new(false));
    // tonic's own channel loses calls that were on their way to a connection that ends.
    let mut reader = Reader::new("", "", [("SEAWALL_ORDER_ADDRESS", shop.order.url().as_str())]);
    let config = seawall_client::Config::read(&mut reader.section("order"), "http://127.0.0.1:1");
    let channel = seawall_client::Channel::new("order", &config, &Policies::default());
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let (first, stop) = (shop.request("").into_inner(), Arc::clone(&stop));
            let mut orders = OrderServiceClient::new(channel.clone());
            tokio::spawn(async move {
                let mut placed = 0;
                while !stop.load(Ordering::Relaxed) {
                    let idempotency_key = format!("{caller}-{placed}");
                    orders.place_order(PlaceOrderRequest { idempotency_key, ..first.clone() }).await.unwrap();
                    placed += 1;
                }
                placed
            })
        })
        .collect();
    // Both are replaced: the one that is called from outside, and the one that a service calls.
    let replaced = tokio::task::spawn_blocking(move || {
        shop.user.hand_over();
        shop.order.hand_over();
        shop
    });
    let shop = replaced.await.unwrap();
    assert!(shop.user.log().iter().any(|line| line.contains("serving instead of the predecessor")));
    shop.place("after").await.unwrap();
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        assert!(caller.await.unwrap() > 0);
    }
}
