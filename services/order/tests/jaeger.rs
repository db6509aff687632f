//! One order is one trace in a real Jaeger too. Not among the tests, because Jaeger is large:
//! `just jaeger-check`, or `cargo test --package order --test jaeger`, with `jaeger` 2.x on the PATH.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use seawall_backends::{Jaeger, JaegerPorts, Options, free_port};
use seawall_proto::seawall::order::v1::order_service_client::OrderServiceClient;
use seawall_proto::seawall::order::v1::{Money, OrderLine, PlaceOrderRequest};
use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;
use seawall_proto::seawall::user::v1::{CreateUserRequest, User};
use seawall_testkit::Service;
use serde_json::Value;
use tonic::Request;
use tonic::transport::Channel;

const TRACE_ID: &str = "7bf92f3577b34da6a3ce929d0e0e4736";

/// Places one order through both services, in the trace with the id above.
async fn place_one(otlp: String, folder: &std::path::Path) {
    let sql = |name: &str| ("SEAWALL_SQL_URL", format!("sqlite://{}/{name}.db", folder.display()));
    let otlp = ("SEAWALL_TELEMETRY_OTLP_ENDPOINT", otlp);
    let user = Service::start("user", [sql("user"), otlp.clone()]);
    let order = Service::start("order", [sql("order"), ("SEAWALL_USER_ADDRESS", user.url()), otlp]);
    let connect = |service: &Service| Channel::from_shared(service.url()).unwrap().connect_lazy();

    let ada = User { email: "ada@example.com".into(), display_name: "Ada".into(), ..Default::default() };
    let created = UserServiceClient::new(connect(&user)).create_user(CreateUserRequest { user: Some(ada) }).await;
    let unit_price = Some(Money { currency_code: "EUR".into(), units: 4, nanos: 500_000_000 });
    let mut request = Request::new(PlaceOrderRequest {
        user_id: created.unwrap().into_inner().user.unwrap().user_id,
        lines: vec![OrderLine { sku: "tea".into(), quantity: 2, unit_price }],
        idempotency_key: "k1".into(),
    });
    request.metadata_mut().insert("traceparent", format!("00-{TRACE_ID}-00f067aa0ba902b7-01").parse().unwrap());
    OrderServiceClient::new(connect(&order)).place_order(request).await.unwrap();
    // Both are asked to end, so that they send what they have.
    order.terminate();
    user.terminate();
}

/// A span as Jaeger's API has it: service, name, kind, id, and the id of its parent.
#[derive(Debug, Clone)]
struct Span {
    service: String,
    name: String,
    kind: String,
    id: String,
    parent: String,
}

async fn spans(query_url: &str) -> Vec<Span> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let answer = client.get(format!("{query_url}/api/traces/{TRACE_ID}").parse().unwrap()).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let answer: Value = serde_json::from_slice(&body).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let Some(trace) = answer["data"].get(0) else { return Vec::new() };
    let span = |span: &Value| Span {
        service: text(&trace["processes"][text(&span["processID"])]["serviceName"]),
        name: text(&span["operationName"]),
        kind: span["tags"]
            .as_array()
            .and_then(|tags| tags.iter().find(|tag| tag["key"] == "span.kind"))
            .map(|tag| text(&tag["value"]))
            .unwrap_or_default(),
        id: text(&span["spanID"]),
        parent: text(&span["references"][0]["spanID"]),
    };
    trace["spans"].as_array().into_iter().flatten().map(span).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_order_is_one_trace_in_jaeger() {
    let jaeger = Jaeger::find(&[]).unwrap_or_else(|why| panic!("{why}"));
    let folder = tempfile::tempdir().unwrap();
    let port = || free_port().unwrap();
    let ports = JaegerPorts { otlp: port(), query: port(), query_grpc: port() };
    let running = jaeger.start(ports, &folder.path().join("jaeger.log"), Options::default()).await.unwrap();
    place_one(running.otlp_url(), folder.path()).await;

    let wanted = [
        ("order", "seawall.order.v1.OrderService/PlaceOrder", "server"),
        ("order", "seawall.user.v1.UserService/GetUser", "client"),
        ("user", "seawall.user.v1.UserService/GetUser", "server"),
        ("user", "SELECT users", "client"),
        ("order", "INSERT orders", "client"),
    ];
    let deadline = Instant::now() + Duration::from_secs(20);
    let found = loop {
        let spans = spans(&running.query_url()).await;
        let find = |(service, name, kind): (&str, &str, &str)| {
            spans.iter().find(|s| s.service == service && s.name == name && s.kind == kind).cloned()
        };
        if let Some(found) = wanted.map(find).into_iter().collect::<Option<Vec<Span>>>() {
            break found;
        }
        assert!(Instant::now() < deadline, "not in Jaeger: {wanted:#?}\nthere is: {spans:#?}");
    };
    let by_id: BTreeMap<&str, &Span> = found.iter().map(|span| (span.id.as_str(), span)).collect();
    println!("{:<7} {:<44} {:<7} parent", "service", "span", "kind");
    for span in &found {
        let parent = by_id.get(span.parent.as_str()).map_or("(the caller)", |parent| parent.name.as_str());
        println!("{:<7} {:<44} {:<7} {parent}", span.service, span.name, span.kind);
    }
    let [order_server, order_client, user_server, user_sql, order_sql] = &found[..] else { unreachable!() };
    assert_eq!(order_server.parent, "00f067aa0ba902b7");
    assert_eq!(order_client.parent, order_server.id);
    assert_eq!(user_server.parent, order_client.id);
    assert_eq!(user_sql.parent, user_server.id);
    assert_eq!(order_sql.parent, order_server.id);
    running.stop().await;
}
