//! The receiver over a real socket, spoken to with OpenTelemetry's own generated clients.

use std::net::SocketAddr;

use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, logs_service_client::LogsServiceClient,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::make::{Log, resource, span, traces};
use crate::{Bounds, Capture, Filter, Reader, Receiver, Store};

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Running {
    async fn start(receiver: Receiver, address: SocketAddr) -> Self {
        let bound = receiver.bind(address).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let address = bound.address();
        let task = tokio::spawn(bound.run(async {
            let _ = stopped.await;
        }));
        Self { address, stop, task }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn stop(self) {
        drop(self.stop);
        self.task.await.unwrap().unwrap();
    }
}

fn store(folder: &tempfile::TempDir, name: &str) -> Store {
    Store::open(folder.path().join(name), Bounds::default()).unwrap()
}

fn logs(body: &str) -> ExportLogsServiceRequest {
    let record = LogRecord {
        severity_text: "WARN".into(),
        body: Some(AnyValue { value: Some(Value::StringValue(body.into())) }),
        trace_id: vec![0xab; 16],
        ..Default::default()
    };
    let scope_logs = vec![ScopeLogs { log_records: vec![record], ..Default::default() }];
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs { resource: Some(resource("user")), scope_logs, ..Default::default() }],
    }
}

fn metrics(name: &str) -> ExportMetricsServiceRequest {
    let data_points = vec![NumberDataPoint::default(), NumberDataPoint::default()];
    let metric = Metric { name: name.into(), data: Some(Data::Gauge(Gauge { data_points })), ..Default::default() };
    let scope_metrics = vec![ScopeMetrics { metrics: vec![metric], ..Default::default() }];
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource("user")),
            scope_metrics,
            ..Default::default()
        }],
    }
}

#[tokio::test]
async fn what_is_answered_ok_is_on_disk_after_a_flush() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder, "traces.db");
    let running = Running::start(Receiver::new(store.clone()), ANY_PORT).await;
    let mut client = TraceServiceClient::connect(running.url()).await.unwrap();

    let mut nameless = span(1, 2, None, "no trace id", 0, 1);
    nameless.trace_id.clear();
    let answer = client.export(traces("order", vec![span(1, 1, None, "PlaceOrder", 10, 20), nameless])).await.unwrap();
    let partial = answer.into_inner().partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 1);

    store.flush().await;
    assert_eq!(store.stats().borrow().written, 1);
    let summaries = Reader::open(store.path()).unwrap().recent(10, &Filter::default()).unwrap();
    assert_eq!(summaries[0].root_name, "PlaceOrder");
    assert_eq!(summaries[0].duration_ns, 10);
    running.stop().await;
}

#[tokio::test]
async fn logs_and_metrics_are_accepted_and_captured() {
    let folder = tempfile::tempdir().unwrap();
    let capture = Capture::default();
    let receiver = Receiver::new(store(&folder, "traces.db")).capture_into(capture.clone());
    let running = Running::start(receiver, ANY_PORT).await;

    LogsServiceClient::connect(running.url()).await.unwrap().export(logs("pool is empty")).await.unwrap();
    MetricsServiceClient::connect(running.url()).await.unwrap().export(metrics("pool.size")).await.unwrap();

    assert_eq!(*capture.exports().borrow(), 2);
    let logs = capture.logs();
    assert_eq!((logs[0].service.as_str(), logs[0].body.as_str()), ("user", "pool is empty"));
    assert_eq!(logs[0].trace_id.as_deref(), Some("abababababababababababababababab"));
    assert_eq!(logs[0].span_id, None);
    let points: Vec<_> = capture.metric_points().into_iter().map(|point| point.name).collect();
    assert_eq!(points, ["pool.size", "pool.size"]);
    running.stop().await;
}

#[tokio::test]
async fn everything_is_forwarded_once_the_target_is_there_and_nobody_waits_before() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::capture();
    let hangs_up = tokio::net::TcpListener::bind(ANY_PORT).await.unwrap();
    let target_address = hangs_up.local_addr().unwrap();
    let receiver = Receiver::new(store(&folder, "near.db")).forward_to(&format!("http://{target_address}")).unwrap();
    let near = Running::start(receiver, ANY_PORT).await;
    let mut client = TraceServiceClient::connect(near.url()).await.unwrap();
    client.export(traces("order", vec![span(1, 1, None, "while away", 1, 2)])).await.unwrap();
    LogsServiceClient::connect(near.url()).await.unwrap().export(logs("while away")).await.unwrap();
    MetricsServiceClient::connect(near.url()).await.unwrap().export(metrics("while.away")).await.unwrap();

    // The first export is tried, and tried again.
    for _ in 0..2 {
        drop(hangs_up.accept().await.unwrap());
    }
    drop(hangs_up);
    let (far_store, capture) = (store(&folder, "far.db"), Capture::default());
    let far = Running::start(Receiver::new(far_store.clone()).capture_into(capture.clone()), target_address).await;
    client.export(traces("order", vec![span(2, 1, None, "while there", 3, 4)])).await.unwrap();
    let within = std::time::Duration::from_secs(20);
    let mut stats = far_store.stats();
    tokio::time::timeout(within, stats.wait_for(|stats| stats.written == 2)).await.unwrap().unwrap();
    tokio::time::timeout(within, capture.exports().wait_for(|exports| *exports == 2)).await.unwrap().unwrap();
    assert_eq!(far_store.recent(9, &Filter::default()).unwrap()[1].root_name, "while away");
    assert_eq!(capture.logs()[0].body, "while away");
    near.stop().await;
    far.stop().await;
    let lines = log.lines(&target_address.to_string());
    let [away, back] = lines.as_slice() else { panic!("{lines:#?}") };
    assert!(away.contains("WARN") && away.contains("cannot be forwarded"), "{away}");
    assert!(back.contains("being forwarded again") && back.contains("dropped=0"), "{back}");
}

#[tokio::test]
async fn a_receiver_does_not_forward_to_itself() {
    let folder = tempfile::tempdir().unwrap();
    let free = tokio::net::TcpListener::bind(ANY_PORT).await.unwrap().local_addr().unwrap();
    let receiver =
        Receiver::new(store(&folder, "a.db")).forward_to(&format!("http://localhost:{}", free.port())).unwrap();
    let error = receiver.bind(free).await.unwrap_err();
    assert!(error.to_string().ends_with("it is the receiver's own address"), "{error}");
    for wrong in ["", "127.0.0.1:4317", "https://jaeger:4317", "http:// "] {
        assert!(Receiver::new(store(&folder, "a.db")).forward_to(wrong).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let taken = tokio::net::TcpListener::bind(ANY_PORT).await.unwrap();
    let error = Receiver::new(store(&folder, "a.db")).bind(taken.local_addr().unwrap()).await.unwrap_err();
    assert!(error.is_address_in_use(), "{error}");
}

#[tokio::test]
async fn a_silent_connection_does_not_hold_up_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(Receiver::new(store(&folder, "a.db")), ANY_PORT).await;
    let _silent = tokio::net::TcpStream::connect(running.address).await.unwrap();
    let mut client = TraceServiceClient::connect(running.url()).await.unwrap();
    client.export(traces("order", vec![span(1, 1, None, "x", 1, 2)])).await.unwrap();
    let began = std::time::Instant::now();
    running.stop().await;
    assert!(began.elapsed() < std::time::Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn the_end_waits_for_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder, "a.db");
    let running = Running::start(Receiver::new(store.clone()), ANY_PORT).await;
    let locker = rusqlite::Connection::open(store.path()).unwrap();
    locker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut client = TraceServiceClient::connect(running.url()).await.unwrap();
    client.export(traces("order", vec![span(1, 1, None, "x", 1, 2)])).await.unwrap();
    drop(client);
    running.stop().await;
    assert_eq!(store.stats().borrow().dropped, 1, "the writer has given up waiting for the lock");
}

#[tokio::test]
async fn an_export_over_the_limit_is_refused_and_the_next_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(Receiver::new(store(&folder, "a.db")), ANY_PORT).await;
    let mut client = TraceServiceClient::connect(running.url()).await.unwrap();
    let large = "x".repeat(17 * 1024 * 1024);
    let status = client.export(traces("order", vec![span(1, 1, None, &large, 1, 2)])).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::OutOfRange);
    client.export(traces("order", vec![span(1, 1, None, "x", 1, 2)])).await.unwrap();
    running.stop().await;
}
