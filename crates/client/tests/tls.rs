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
use seawall_server::Server;
use seawall_shutdown::Shutdown;
use tempfile::TempDir;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::Service;

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
    async fn serve(&self, more: &[(&str, &str)]) -> Running {
        let mut reader = Reader::new("", "", self.settings("user", more));
        let config = seawall_server::Config::read(&mut reader.section("server"), 0, 0);
        let callers = Callers::default();
        let server = Server::try_new(config, seawall_proto::FILE_DESCRIPTOR_SET).unwrap();
        let bound = server.add_service(callers.clone()).bind().await.unwrap();
        let (address, shutdown) = (bound.address().unwrap(), Shutdown::new(Duration::from_secs(5)));
        tokio::spawn(bound.run(shutdown.clone()));
        Running { address, callers, _shutdown: shutdown }
    }

    /// A channel of a process to a server.
    fn channel(&self, service: &str, server: &Running, identity: &str) -> Channel {
        let address = format!("https://{}", server.address);
        let more = [("SEAWALL_USER_ADDRESS", address.as_str()), ("SEAWALL_USER_IDENTITY", identity)];
        let mut reader = Reader::new("", "", self.settings(service, &more));
        let config = Config::read(&mut reader.section("user"), "http://127.0.0.1:1");
        Channel::new("user", &config, &Policies::default())
    }
}

fn valid() -> std::ops::Range<SystemTime> {
    SystemTime::now() - HOUR..SystemTime::now() + HOUR
}

struct Running {
    address: SocketAddr,
    callers: Callers,
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

async fn check(channel: &Channel) -> Result<(), Status> {
    HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await.map(drop)
}

#[tokio::test]
async fn a_call_over_mtls_is_answered_and_tells_who_calls() {
    let mesh = Mesh::new();
    mesh.issue("user", &mesh.ca);
    mesh.issue("order", &mesh.ca);
    let server = mesh.serve(&[]).await;
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
