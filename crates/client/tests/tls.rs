//! A channel and a server over mTLS: real handshakes, over sockets, with certificates from files.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use http::{Request, Response};
use seawall_auth::tls::{LocalCa, PeerIdentity};
use seawall_client::{Channel, Config};
use seawall_config::{ExposeSecret as _, Reader};
use seawall_policy::Policies;
use seawall_proto::seawall::user::v1::GetUserRequest;
use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;
use seawall_server::Server;
use seawall_shutdown::Shutdown;
use tempfile::TempDir;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::Service;

/// How long something may take that is waited for, before it is taken for what will not happen.
const PATIENCE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// The files of the processes of a trust domain.
struct Mesh {
    folder: TempDir,
    ca: LocalCa,
}

impl Mesh {
    fn new() -> Self {
        let ca = LocalCa::try_new("test", &valid()).unwrap();
        let mesh = Self { folder: tempfile::tempdir().unwrap(), ca };
        mesh.write("ca.pem", &mesh.ca.certificate());
        mesh
    }

    fn write(&self, name: &str, text: &str) {
        // As whoever renews files must: by renaming, so that none is read half.
        let path = self.folder.path().join(name);
        std::fs::write(path.with_extension("new"), text).unwrap();
        std::fs::rename(path.with_extension("new"), path).unwrap();
    }

    /// A certificate for a service, signed by `ca`.
    fn issue(&self, service: &str, ca: &LocalCa) {
        let id = format!("spiffe://shop/{service}").parse().unwrap();
        let issued = ca.issue(&[id], &valid()).unwrap();
        self.write(&format!("{service}.key"), issued.key.expose_secret());
        self.write(&format!("{service}.pem"), &issued.cert);
    }

    /// The settings of a service's process.
    fn settings(&self, service: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let own = [
            ("SEAWALL_SERVER_LISTEN", "127.0.0.1:0".to_owned()),
            ("SEAWALL_SERVER_METRICS_LISTEN", "127.0.0.1:0".to_owned()),
            ("SEAWALL_TLS_CERT", file(&format!("{service}.pem"))),
            ("SEAWALL_TLS_KEY", file(&format!("{service}.key"))),
            ("SEAWALL_TLS_CA", file("ca.pem")),
            ("SEAWALL_TLS_RELOAD_INTERVAL", "100ms".to_owned()),
        ];
        let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
        own.into_iter().chain(more).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// A server of `user`.
    async fn serve(&self) -> Running {
        serve(self.settings("user", &[])).await
    }

    /// A channel of a process to a server, which must have that identity.
    fn channel(&self, service: &str, server: &Running, identity: &str) -> Channel {
        let address = format!("https://{}", server.address);
        let more = [("SEAWALL_USER_ADDRESS", address.as_str()), ("SEAWALL_USER_IDENTITY", identity)];
        channel(self.settings(service, &more))
    }
}

/// A mesh in which everything is as it should be.
fn good() -> Mesh {
    let mesh = Mesh::new();
    mesh.issue("user", &mesh.ca);
    mesh.issue("order", &mesh.ca);
    mesh
}

async fn serve(settings: Vec<(String, String)>) -> Running {
    let mut reader = Reader::new("", "", settings);
    let config = seawall_server::Config::read(&mut reader.section("server"), 0, 0);
    let callers = Callers::default();
    let server = Server::try_new(config, seawall_proto::FILE_DESCRIPTOR_SET).unwrap();
    let health = server.health().clone();
    let bound = server.add_service(callers.clone()).bind().await.unwrap();
    let (address, shutdown) = (bound.address().unwrap(), Shutdown::new(Duration::from_secs(5)));
    tokio::spawn(bound.run(shutdown.clone()));
    Running { address, callers, health, _shutdown: shutdown }
}

fn channel(settings: Vec<(String, String)>) -> Channel {
    let mut reader = Reader::new("", "", settings);
    let config = Config::read(&mut reader.section("user"), "http://127.0.0.1:1");
    Channel::new("user", &config, &Policies::default())
}

fn valid() -> std::ops::Range<SystemTime> {
    SystemTime::now() - HOUR..SystemTime::now() + HOUR
}

struct Running {
    address: SocketAddr,
    callers: Callers,
    health: seawall_health::Health,
    _shutdown: Shutdown,
}

/// A service that notes who has called it.
#[derive(Debug, Clone, Default)]
struct Callers(Arc<Mutex<Vec<Option<PeerIdentity>>>>);

impl NamedService for Callers {
    const NAME: &'static str = "test.Callers";
}

impl Service<Request<Body>> for Callers {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.0.lock().unwrap().push(request.extensions().get().cloned());
        Box::pin(async { Ok(Status::unimplemented("noted").into_http()) })
    }
}

/// Asks until it is so. Each attempt is a real connection, so this does not spin.
async fn until(mut ask: impl AsyncFnMut() -> bool) {
    let asked = async { while !ask().await {} };
    tokio::time::timeout(PATIENCE, asked).await.expect("it never was so");
}

async fn check(channel: &Channel) -> Result<(), Status> {
    HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await.map(drop)
}

#[tokio::test]
async fn a_call_over_mtls_is_answered_and_tells_who_calls() {
    let mesh = good();
    let server = mesh.serve().await;
    let channel = mesh.channel("order", &server, "spiffe://shop/user");
    check(&channel).await.unwrap();
    let request =
        Request::post("/test.Callers/Note").header("content-type", "application/grpc").body(Body::empty()).unwrap();
    let mut channel = channel.clone();
    std::future::poll_fn(|cx| channel.poll_ready(cx)).await.unwrap();
    let _ = channel.call(request).await;
    let callers = server.callers.0.lock().unwrap().clone();
    let ids: Vec<_> = callers.iter().map(|caller| caller.as_ref().unwrap().id().to_string()).collect();
    assert_eq!(ids, ["spiffe://shop/order"]);
}

#[tokio::test]
async fn who_is_not_who_it_must_be_gets_no_call() {
    let mesh = good();
    mesh.issue("stranger", &LocalCa::try_new("test", &valid()).unwrap());
    let server = mesh.serve().await;
    for (service, identity) in [("order", "spiffe://shop/billing"), ("stranger", "spiffe://shop/user")] {
        let refused = check(&mesh.channel(service, &server, identity)).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{service} to {identity}: {refused}");
    }
    assert!(server.callers.0.lock().unwrap().is_empty());
}

/// Nobody implements the method, which only those who may call it are told.
#[tokio::test]
async fn a_rule_lets_in_the_service_that_it_names_and_no_other() {
    let mesh = good();
    mesh.issue("billing", &mesh.ca);
    let server = serve(mesh.settings("user", &[("SEAWALL_AUTH_ENABLED", "true")])).await;
    for (service, code) in [("order", Code::Unimplemented), ("billing", Code::PermissionDenied)] {
        let channel = mesh.channel(service, &server, "spiffe://shop/user");
        check(&channel).await.unwrap();
        let refused = UserServiceClient::new(channel).get_user(GetUserRequest::default()).await.unwrap_err();
        assert_eq!(refused.code(), code, "{service}: {refused}");
    }
}

#[tokio::test]
async fn there_is_no_way_back_to_plaintext() {
    let mesh = good();
    let secure = mesh.serve().await;
    let address = ("SEAWALL_USER_ADDRESS".to_owned(), format!("http://{}", secure.address));
    let refused = check(&channel(vec![address])).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");

    let local = |name: &str| (format!("SEAWALL_SERVER_{name}"), "127.0.0.1:0".to_owned());
    let plain = serve(vec![local("LISTEN"), local("METRICS_LISTEN")]).await;
    let refused = check(&mesh.channel("order", &plain, "spiffe://shop/user")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
}

/// Everything is replaced at once, the authority as well, while a stream is open.
#[tokio::test]
async fn a_stream_goes_on_while_certificates_are_replaced() {
    let mesh = good();
    let server = mesh.serve().await;
    let latch = server.health.latch("database");
    let old = mesh.channel("order", &server, "spiffe://shop/user");
    let watched = HealthClient::new(old.clone()).watch(HealthCheckRequest::default()).await.unwrap();
    let mut watched = watched.into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);

    let next = LocalCa::try_new("test", &valid()).unwrap();
    mesh.write("ca.pem", &next.certificate());
    mesh.write("next.pem", &next.certificate());
    mesh.issue("user", &next);
    mesh.issue("renewed", &next);
    // Both trust the new authority alone, and so a server that has its certificate.
    let ca = mesh.folder.path().join("next.pem").display().to_string();
    let address = format!("https://{}", server.address);
    let more = [("SEAWALL_TLS_CA", ca.as_str()), ("SEAWALL_USER_ADDRESS", address.as_str())];
    until(async || check(&channel(mesh.settings("renewed", &more))).await.is_ok()).await;
    let refused = check(&channel(mesh.settings("order", &more))).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "the old certificate is good no more: {refused}");

    latch.ready();
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    check(&old).await.unwrap();
}
