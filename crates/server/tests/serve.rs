//! A server over real sockets, seen through a real client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use seawall_config::Reader;
use seawall_server::{Config, Listener, Server};
use seawall_shutdown::Shutdown;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

struct Running {
    address: SocketAddr,
    metrics: SocketAddr,
    health: seawall_health::Health,
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

async fn start(drain_timeout: Duration) -> Running {
    let variables = [("SEAWALL_SERVER_LISTEN", "127.0.0.1:0"), ("SEAWALL_SERVER_METRICS_LISTEN", "127.0.0.1:0")];
    let config = Config::read(&mut Reader::new("", "", variables).section("server"), 0, 0);
    let server = Server::try_new(config, seawall_proto::FILE_DESCRIPTOR_SET).unwrap();
    let health = server.health().clone();
    let bound = server.bind().await.unwrap();
    let (address, metrics) = (bound.address().unwrap(), bound.metrics_address().unwrap());
    let shutdown = Shutdown::new(drain_timeout);
    let task = tokio::spawn(bound.run(shutdown.clone()));
    Running { address, metrics, health, shutdown, task }
}

/// Where there is always a connection to be accepted.
struct Crowd(Arc<AtomicUsize>);

impl Listener for Crowd {
    type Io = DuplexStream;

    async fn accept(&mut self) -> std::io::Result<(DuplexStream, SocketAddr)> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok((tokio::io::duplex(1_024).0, ([127, 0, 0, 1], 1).into()))
    }
}

async fn client(address: SocketAddr) -> HealthClient<Channel> {
    HealthClient::new(Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap())
}

fn watch(timeout: Option<Duration>) -> Request<HealthCheckRequest> {
    let mut request = Request::new(HealthCheckRequest::default());
    if let Some(timeout) = timeout {
        request.set_timeout(timeout);
    }
    request
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_stream_ends_at_its_deadline() {
    let server = start(Duration::from_secs(5)).await;
    let mut stream =
        client(server.address).await.watch(watch(Some(Duration::from_millis(150)))).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let status = stream.message().await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
}

#[tokio::test]
async fn every_error_carries_a_reason_and_a_trace_id() {
    use tonic_types::StatusExt as _;
    let server = start(Duration::from_secs(5)).await;
    let request = HealthCheckRequest { service: "nobody".into() };
    let details = client(server.address).await.check(request).await.unwrap_err().get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "NOT_FOUND");
    assert_eq!(details.request_info().unwrap().request_id.len(), 32);
}

#[tokio::test]
async fn a_malformed_timeout_is_refused_naming_the_header() {
    let server = start(Duration::from_secs(5)).await;
    let mut request = watch(None);
    request.metadata_mut().insert("grpc-timeout", "12x".parse().unwrap());
    let status = client(server.address).await.check(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("grpc-timeout"), "{status}");
}

#[tokio::test]
async fn the_metrics_port_tells_readiness() {
    let server = start(Duration::from_secs(5)).await;
    let latch = server.health.latch("database");
    assert!(get(server.metrics, "/readyz").await.contains("503 Service Unavailable"));
    assert!(get(server.metrics, "/readyz").await.ends_with("waiting for: database\n"));
    latch.ready();
    assert!(get(server.metrics, "/readyz").await.ends_with("ready\n"));
    assert!(get(server.metrics, "/livez").await.ends_with("alive\n"));
    assert!(get(server.metrics, "/metrics").await.starts_with("HTTP/1.1 200"));
    assert!(get(server.metrics, "/").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn the_drain_waits_for_calls_in_flight_and_says_not_serving() {
    let server = start(Duration::from_secs(30)).await;
    let mut stream =
        client(server.address).await.watch(watch(Some(Duration::from_millis(400)))).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    server.shutdown.begin();
    assert_eq!(stream.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    // The call ends by its own deadline, not because the server goes.
    assert_eq!(stream.message().await.unwrap_err().code(), Code::DeadlineExceeded);
    tokio::time::timeout(Duration::from_secs(20), server.task).await.expect("the drain did not end").unwrap();
    assert!(TcpStream::connect(server.address).await.is_err(), "still listening");
}

#[tokio::test]
async fn an_endless_stream_and_a_silent_connection_do_not_outlast_the_drain_timeout() {
    let drain_timeout = Duration::from_millis(300);
    let server = start(drain_timeout).await;
    let _silent = TcpStream::connect(server.address).await.unwrap();
    let mut stream = client(server.address).await.watch(watch(None)).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    let start = Instant::now();
    server.shutdown.begin();
    tokio::time::timeout(Duration::from_secs(20), server.task).await.expect("the drain did not end").unwrap();
    assert!(start.elapsed() >= drain_timeout, "the stream was cut off early");
    assert_eq!(stream.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert!(stream.message().await.is_err(), "the stream ended as if it were complete");
}

#[tokio::test]
async fn a_server_that_is_dropped_leaves_no_port_open() {
    let server = start(Duration::from_secs(5)).await;
    assert!(get(server.metrics, "/livez").await.ends_with("alive\n"));
    server.task.abort();
    assert!(server.task.await.unwrap_err().is_cancelled());
    assert!(TcpStream::connect(server.address).await.is_err(), "gRPC");
    assert!(TcpStream::connect(server.metrics).await.is_err(), "metrics");
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let server = start(Duration::from_secs(5)).await;
    let taken = server.address.to_string();
    let variables = [("SEAWALL_SERVER_LISTEN", taken.as_str()), ("SEAWALL_SERVER_METRICS_LISTEN", "127.0.0.1:0")];
    let config = Config::read(&mut Reader::new("", "", variables).section("server"), 0, 0);
    let error = Server::try_new(config, seawall_proto::FILE_DESCRIPTOR_SET).unwrap().bind().await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on {taken}"));
}

/// A process that hands its sockets over would otherwise take a connection away from its successor, only
/// to close it: calls failed that came by it.
#[tokio::test]
async fn a_server_that_drains_leaves_connections_to_others() {
    let accepted = Arc::new(AtomicUsize::new(0));
    for _ in 0..20 {
        let config = Config::read(&mut Reader::new("", "", [("", ""); 0]).section("server"), 0, 0);
        let server = Server::try_new(config, seawall_proto::FILE_DESCRIPTOR_SET).unwrap();
        let shutdown = Shutdown::new(Duration::from_secs(5));
        shutdown.begin();
        server.serve(Crowd(Arc::clone(&accepted)), shutdown).await.unwrap();
    }
    assert_eq!(accepted.load(Ordering::Relaxed), 0);
}
