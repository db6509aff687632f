//! A process that has no collector: its traces and its log go on.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Empty;
use seawall_config::Reader;
use seawall_telemetry::{ClientLayer, Config, ServerLayer, init};
use tower::{Layer as _, Service as _, service_fn};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

const SAMPLED: &str = "00-33333333333333333333333333333333-4444444444444444-01";

const METHODS: [&str; 3] = ["shop.v1.Shop/Buy", "shop.v1.Shop/Wait", "Panic"];
const CALLED: [&str; 2] = ["shop.v1.Peer/Help", "Break"];

fn failed() -> Result<Response<Empty<Bytes>>, Infallible> {
    let response = Response::builder().header("grpc-status", "13").body(Empty::new());
    Ok(response.unwrap())
}

fn sampled() -> Request<()> {
    Request::post("/shop.v1.Shop/Buy").header("traceparent", SAMPLED).body(()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_that_a_caller_records_goes_through_unbroken() {
    let config = Config::read(&mut Reader::new("", "", [("", ""); 0]).section("telemetry"));
    let telemetry = init("shop", "1.2.3", &config).unwrap();
    let sent = Arc::new(Mutex::new(HeaderMap::new()));
    let peer = sent.clone();
    let handler = service_fn(move |_: Request<()>| {
        let peer = peer.clone();
        async move {
            let peer = service_fn(move |request: Request<()>| {
                *peer.lock().unwrap() = request.headers().clone();
                async { failed() }
            });
            let request = Request::post("http://peer/shop.v1.Peer/Help").body(()).unwrap();
            ClientLayer::new("peer", "peer.local", 50051, CALLED).layer(peer).call(request).await?;
            failed()
        }
    });
    let response = ServerLayer::new(METHODS).layer(handler).call(sampled()).await.unwrap();
    assert_eq!(sent.lock().unwrap()["traceparent"], SAMPLED);
    let status = tonic::Status::from_header_map(response.headers()).unwrap();
    let details = tonic_types::StatusExt::get_error_details(&status);
    assert_eq!(details.request_info().unwrap().request_id, "33333333333333333333333333333333");
    telemetry.shutdown().await;
}

/// The targets of the events that come, as the process's own log takes them: without spans.
struct Lines(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        self.0.lock().unwrap().push(event.metadata().target().to_owned());
    }
}

#[tokio::test]
async fn every_call_has_a_line_in_a_log_of_debug_lines() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let events = filter_fn(|meta| meta.is_event());
    let subscriber = tracing_subscriber::registry().with(Lines(lines.clone()).with_filter(events));
    let _log = tracing::subscriber::set_default(subscriber);
    let handler = service_fn(|_: Request<()>| async { failed() });
    ServerLayer::new(METHODS).layer(handler).call(sampled()).await.unwrap();
    let of_calls = lines.lock().unwrap().iter().filter(|target| *target == "seawall_telemetry::call").count();
    assert_eq!(of_calls, 1);
}
