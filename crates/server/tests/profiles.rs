//! Profiles and the runtime's numbers, asked of a server that is busy, over HTTP.

use std::convert::Infallible;
use std::hint::black_box;
use std::io::Read as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::Command;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{Request, Response};
use prost::Message as _;
use seawall_config::Reader;
use seawall_profile::messages::Profile;
use seawall_server::{Config, Server};
use seawall_shutdown::Shutdown;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, MutexGuard};
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tower::Service;

const PROFILE: &str = "/debug/pprof/profile?seconds=1";

/// A service whose calls are hard work.
#[derive(Debug, Clone)]
struct Mill;

impl NamedService for Mill {
    const NAME: &'static str = "seawall.order.v1.OrderService";
}

impl Service<Request<Body>> for Mill {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        Box::pin(async {
            black_box(grinds_the_corn());
            Ok(Status::unimplemented("there is no flour").into_http())
        })
    }
}

#[inline(never)]
fn grinds_the_corn() -> u64 {
    (0..1_000_000_u64).fold(1, |meal, grain| black_box(meal.wrapping_mul(31).wrapping_add(grain)))
}

/// The tests share the one timer of the process, and its metrics.
async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

/// A server, and where its metrics are; its calls go on until it is dropped.
struct Running {
    metrics: SocketAddr,
    _task: AbortOnDropHandle<()>,
    _caller: AbortOnDropHandle<()>,
}

async fn start(admin: &str) -> Running {
    let variables = [
        ("SEAWALL_SERVER_LISTEN", "127.0.0.1:0"),
        ("SEAWALL_SERVER_METRICS_LISTEN", "127.0.0.1:0"),
        ("SEAWALL_SERVER_ADMIN", admin),
    ];
    let config = Config::read(&mut Reader::new("", "", variables).section("server"), 0, 0);
    let server = Server::try_new(config, seawall_proto::FILE_DESCRIPTOR_SET).unwrap();
    let bound = server.add_service(Mill).bind().await.unwrap();
    let (address, metrics) = (bound.address().unwrap(), bound.metrics_address().unwrap());
    let task = AbortOnDropHandle::new(tokio::spawn(bound.run(Shutdown::new(Duration::from_secs(1)))));
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let caller = AbortOnDropHandle::new(tokio::spawn(calls(channel)));
    Running { metrics, _task: task, _caller: caller }
}

async fn calls(channel: Channel) {
    let mut grpc = tonic::client::Grpc::new(channel);
    loop {
        grpc.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
        let request = tonic::Request::new(HealthCheckRequest::default());
        let path = http::uri::PathAndQuery::from_static("/seawall.order.v1.OrderService/GetOrder");
        let _ = grpc.unary(request, path, codec).await;
    }
}

/// The status, the headers and the body.
async fn ask(address: SocketAddr, method: &str, path: &str) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    (head[9..12].parse().unwrap(), head, answer[end + 4..].to_vec())
}

fn decoded(profile: &[u8]) -> Profile {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(profile).read_to_end(&mut bytes).unwrap();
    Profile::decode(&bytes[..]).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_of_a_busy_server_names_what_its_handlers_do() {
    let _alone = alone().await;
    let server = start("read").await;
    let (status, head, body) = ask(server.metrics, "GET", PROFILE).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    assert!(head.contains("content-type: application/octet-stream"), "{head}");
    let profile = decoded(&body);
    let is_ours = |id: &u64| {
        let lines = &profile.location[usize::try_from(*id).unwrap() - 1].line;
        lines.iter().any(|line| {
            let function = profile.function[usize::try_from(line.function_id).unwrap() - 1];
            profile.string_table[usize::try_from(function.name).unwrap()].ends_with("grinds_the_corn")
        })
    };
    let ours = profile.sample.iter().filter(|sample| sample.location_id.iter().any(is_ours));
    assert!(ours.map(|sample| sample.value[1]).sum::<i64>() > 0, "{:?}", profile.string_table);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn go_fetches_it_as_the_readme_says() {
    if Command::new("go").arg("version").output().is_err() {
        println!("skipped: go is not on PATH");
        return;
    }
    let _alone = alone().await;
    let server = start("read").await;
    let url = format!("http://{}{PROFILE}", server.metrics);
    let folder = tempfile::tempdir().unwrap();
    let mut go = Command::new("go");
    // Where pprof keeps what it fetches.
    go.args(["tool", "pprof", "-top", &url]).env("PPROF_TMPDIR", folder.path());
    let said = tokio::task::spawn_blocking(move || go.output().unwrap()).await.unwrap();
    let (top, errors) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success() && top.contains("grinds_the_corn"), "{top}\n{errors}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn profiles_are_for_whom_the_settings_say_and_of_a_length_that_is_bounded() {
    let _alone = alone().await;
    let server = start("off").await;
    let (status, _, body) = ask(server.metrics, "GET", PROFILE).await;
    assert_eq!((status, &body[..]), (403, &b"it is off: server.admin\n"[..]));

    let server = start("read").await;
    for query in ["seconds=0", "seconds=61", "seconds=-1", "seconds=1.5", "seconds=", "second=1", "seconds=1&seconds=2"]
    {
        let (status, _, body) = ask(server.metrics, "GET", &format!("/debug/pprof/profile?{query}")).await;
        let said = String::from_utf8(body).unwrap();
        assert_eq!(status, 400, "{query}: {said}");
        assert_eq!(said, format!("{query}: must be seconds=1 to seconds=60, or nothing\n"));
    }
    assert_eq!(ask(server.metrics, "POST", PROFILE).await.0, 405);
    assert_eq!(ask(server.metrics, "GET", "/debug/pprof/other").await.0, 404);
    for path in ["/debug/pprof/profile", "/debug/pprof/heap"] {
        let (status, _, body) = ask(server.metrics, "HEAD", path).await;
        assert_eq!((status, body.len()), (200, 0), "{path}");
    }
    assert_eq!(ask(server.metrics, "GET", "/debug/pprof/heap?gc=1").await.0, 400);
    let (status, _, body) = ask(server.metrics, "GET", "/debug/pprof/heap").await;
    let said = String::from_utf8_lossy(&body);
    assert!(status == 501 && said.contains("--features seawall-server/heap"), "{status} {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_profile_is_taken_at_a_time_and_a_peer_that_leaves_ends_its_own() {
    let _alone = alone().await;
    let server = start("read").await;
    // Until the first one has begun, the second one may be before it, which the first one is then told.
    let (begun, first) = loop {
        let mut first = TcpStream::connect(server.metrics).await.unwrap();
        first.write_all(b"GET /debug/pprof/profile?seconds=60 HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let begun = Instant::now();
        let is_refused = ask(server.metrics, "GET", PROFILE).await.0 == 409;
        if is_refused && first.try_read(&mut [0]).is_err() {
            break (begun, first);
        }
    };
    drop(first);
    while ask(server.metrics, "GET", PROFILE).await.0 != 200 {}
    assert!(begun.elapsed() < Duration::from_secs(60), "the first one has gone on without its peer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_runtime_is_among_the_metrics() {
    let _alone = alone().await;
    let config = seawall_telemetry::Config::read(&mut Reader::new("", "", [("", "")]).section("telemetry"));
    let _telemetry = seawall_telemetry::init("mill", "0.0.0", &config).unwrap();
    let server = start("off").await;
    // The ratio is of a second.
    let busy = loop {
        let (status, _, body) = ask(server.metrics, "GET", "/metrics").await;
        let page = String::from_utf8(body).unwrap();
        assert_eq!(status, 200, "{page}");
        let number = |name: &str| -> f64 {
            let line = page.lines().find(|line| line.starts_with(name) && !line.starts_with('#'));
            let line = line.unwrap_or_else(|| panic!("there is no {name} in:\n{page}"));
            line.rsplit(' ').next().unwrap().parse().unwrap()
        };
        assert_eq!(number("tokio_worker_count"), 2.0);
        assert!(number("tokio_task_count") >= 2.0, "{page}");
        assert!(number("tokio_global_queue_depth") >= 0.0, "{page}");
        for worker in [0, 1] {
            let series = format!("tokio_worker_busy_time_seconds_total{{tokio_worker_id=\"{worker}\"");
            assert!(page.contains(&series), "{series} is not in:\n{page}");
        }
        let ratio = number("tokio_worker_utilization_ratio");
        if ratio > 0.0 {
            break ratio;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(busy <= 1.0, "{busy}");
}
