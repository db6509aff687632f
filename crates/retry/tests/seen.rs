//! What a call with several attempts leaves behind: events in its span, metrics, live state.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderMap, Request, Response};
use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use seawall_retry::{
    Allowance, AllowanceConfig, HedgeConfig, HedgeDelay, HedgeLayer, HedgePolicy, Idempotency, RetryConfig, RetryLayer,
    RetryPolicy,
};
use seawall_trace::{Scope, TraceContext};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer as _, Service as _, service_fn};

const METHOD: &str = "/shop.v1.Shop/Get";

type Attributes = BTreeMap<String, Value>;

/// Runs a call in a recorded span and returns its events.
async fn events(call: impl Future) -> Vec<(String, Attributes)> {
    let mut scope = Scope::new(TraceContext::root(true)).recorded();
    let mut call = std::pin::pin!(call);
    std::future::poll_fn(|cx| scope.enter(|| call.as_mut().poll(cx))).await;
    let events = scope.take_notes().events.into_iter();
    let attributes = |all: Vec<KeyValue>| all.into_iter().map(|pair| (pair.key.to_string(), pair.value)).collect();
    events.map(|event| (event.name.into_owned(), attributes(event.attributes))).collect()
}

/// The sums of the histograms, by name.
fn sums(exporter: &InMemoryMetricExporter) -> BTreeMap<String, f64> {
    let all = exporter.get_finished_metrics().unwrap();
    let metrics = all.iter().flat_map(|resource| resource.scope_metrics()).flat_map(|scope| scope.metrics());
    let mut sums = BTreeMap::new();
    for metric in metrics.filter(|metric| metric.name().starts_with("grpc.client.call.")) {
        let check = |attributes: Vec<String>| assert_eq!(attributes, ["shop.v1.Shop/Get", "shop"], "{}", metric.name());
        let sum = match metric.data() {
            AggregatedMetrics::U64(MetricData::Histogram(histogram)) => {
                let point = histogram.data_points().next().unwrap();
                check(point.attributes().map(|pair| pair.value.to_string()).collect());
                point.sum() as f64
            }
            AggregatedMetrics::F64(MetricData::Histogram(histogram)) => {
                let point = histogram.data_points().next().unwrap();
                check(point.attributes().map(|pair| pair.value.to_string()).collect());
                point.sum()
            }
            other => panic!("{other:?}"),
        };
        sums.insert(metric.name().to_owned(), sum);
    }
    sums
}

fn request() -> Request<Body> {
    Request::builder().uri(METHOD).body(Body::empty()).unwrap()
}

fn code(code: Code) -> Result<Response<Body>, Status> {
    Ok(Status::new(code, "").into_http())
}

#[tokio::test(start_paused = true)]
async fn a_call_tells_what_was_decided_and_why() {
    let exporter = InMemoryMetricExporter::default();
    let provider = SdkMeterProvider::builder().with_reader(PeriodicReader::builder(exporter.clone()).build()).build();
    opentelemetry::global::set_meter_provider(provider.clone());
    let now = Instant::now();
    let allowance = Arc::new(Allowance::try_new("shop", &AllowanceConfig::default(), now).unwrap());

    // One attempt, of which there is nothing to tell.
    let config = RetryConfig { attempts_max: 2, ..RetryConfig::default() };
    let retry = RetryPolicy::try_new(METHOD, &config, Idempotency::Idempotent, allowance.clone());
    let retry = Arc::new(retry.unwrap());
    let layer = RetryLayer::new(move |_: &str| Some(retry.clone()), |_: &HeaderMap| None);
    let mut ok = layer.layer(service_fn(|_: Request<Body>| ready(code(Code::Ok))));
    assert_eq!(events(ok.call(request())).await, []);
    provider.force_flush().unwrap();
    assert_eq!(sums(&exporter), BTreeMap::new());

    // Two attempts and an end.
    let mut failing = layer.layer(service_fn(|_: Request<Body>| ready(code(Code::Unavailable))));
    let events_of_retry = events(failing.call(request())).await;
    let names: Vec<&str> = events_of_retry.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["retry.attempt", "retry.stopped"]);
    let of = |index: usize, key: &str| events_of_retry[index].1[key].to_string();
    assert_eq!((of(0, "attempt"), of(0, "code"), of(0, "tokens")), ("2".into(), "UNAVAILABLE".into(), "9".into()));
    let after_ms: f64 = of(0, "after_ms").parse().unwrap();
    assert!((40.0..60.0).contains(&after_ms));
    assert_eq!((of(1, "why"), of(1, "peer")), ("attempts_max".into(), "shop".into()));
    let left = allowance.budget().left(now).to_string();
    assert_eq!((of(0, "budget"), of(1, "budget")), (left.clone(), left));

    // A hedge that wins.
    let delay = HedgeDelay::Fixed(Duration::from_millis(30));
    let config = HedgeConfig { delay, ..HedgeConfig::default() };
    let hedge = HedgePolicy::try_new(METHOD, &config, Idempotency::Idempotent, allowance.clone(), now);
    let hedge = Arc::new(hedge.unwrap());
    let layer = HedgeLayer::new(move |_: &str| Some(hedge.clone()), |_: &HeaderMap| None);
    let calls = AtomicUsize::new(0);
    let calls = Arc::new(calls);
    let mut slow = layer.layer(service_fn(move |_: Request<Body>| {
        let is_first = calls.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            tokio::time::sleep(Duration::from_millis(if is_first { 500 } else { 10 })).await;
            code(Code::Ok)
        }
    }));
    let events_of_hedge = events(slow.call(request())).await;
    let told: Vec<_> = events_of_hedge.iter().map(|(name, all)| (name.as_str(), all["after_ms"].to_string())).collect();
    assert_eq!(told, [("hedge.attempt", "30".to_owned()), ("hedge.won", "40".to_owned())]);

    provider.force_flush().unwrap();
    let mut sums = sums(&exporter);
    let waited = sums.remove("grpc.client.call.retry_delay").unwrap() * 1000.0;
    assert!((after_ms - 0.001..after_ms + 2.0).contains(&waited), "{waited} ms");
    let expected = [("grpc.client.call.hedges".to_owned(), 1.0), ("grpc.client.call.retries".to_owned(), 1.0)];
    assert_eq!(sums, BTreeMap::from(expected));

    let state = serde_json::to_value(allowance.snapshot(now)).unwrap();
    let expected = serde_json::json!({
        "peer": "shop", "tokens": 8.1, "tokens_max": 10, "is_throttled": false,
        "budget_calls": 3, "budget_attempts_made": 2, "budget_attempts_left": 98, "replay_buffers_bytes": 0,
    });
    assert_eq!(state, expected);
}
