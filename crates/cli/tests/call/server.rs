//! A server to be called, in a thread of the test, and a workspace in which it is a service that runs.

#![allow(dead_code, reason = "no test program uses all of it")]

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use hyper::server::conn::http2::Builder;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use seawall_auth::tls::{Acceptor, Clients, Config, LocalCa, SpiffeId};
use seawall_config::ExposeSecret as _;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tonic::metadata::MetadataMap;
use tonic::service::{InterceptorLayer, Routes};
use tonic::{Code, Request, Status};
use tonic_health::pb::FILE_DESCRIPTOR_SET;
use tonic_reflection::server::Builder as ReflectionBuilder;
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::Layer as _;

/// The contract of health as a file of a workspace, as far as it is called here.
pub(crate) const HEALTH: &str = r#"
syntax = "proto3";
package grpc.health.v1;
service Health { rpc Check(HealthCheckRequest) returns (HealthCheckResponse); }
message HealthCheckRequest { string service = 1; }
message HealthCheckResponse { Status status = 1; enum Status { UNKNOWN = 0; SERVING = 1; } }
"#;

/// Which versions of it a server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reflection {
    V1,
    V1Alpha,
    None,
}

/// The headers of the last call that was not about reflection, and how many there were.
type Seen = Arc<Mutex<(MetadataMap, usize)>>;

/// Health and reflection. It goes on until the test program ends.
pub(crate) struct Server {
    pub(crate) address: String,
    seen: Seen,
    tls: Option<TempDir>,
}

impl Server {
    pub(crate) fn start(reflection: Reflection) -> Self {
        Self::begin(reflection, None)
    }

    /// As a service that `up --tls` runs.
    pub(crate) fn start_with_tls() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let valid = now - Duration::from_secs(60)..now + Duration::from_secs(3_600);
        let ca = LocalCa::try_new("test", &valid).unwrap();
        std::fs::create_dir(folder.path().join("services")).unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.certificate()).unwrap();
        for (file, id) in [("services/alpha", "alpha"), ("developer", "people/developer")] {
            let id: SpiffeId = format!("spiffe://seawall.local/{id}").parse().unwrap();
            let issued = ca.issue(&[id], &valid).unwrap();
            std::fs::write(folder.path().join(file).with_extension("pem"), issued.cert).unwrap();
            std::fs::write(folder.path().join(file).with_extension("key"), issued.key.expose_secret()).unwrap();
        }
        Self::begin(Reflection::V1, Some(folder))
    }

    fn begin(reflection: Reflection, tls: Option<TempDir>) -> Self {
        let seen = Seen::default();
        let config = tls.as_ref().map(|folder| Config {
            cert: Some(folder.path().join("services/alpha.pem")),
            key: Some(folder.path().join("services/alpha.key")),
            ca: Some(folder.path().join("ca.pem")),
            clients: Clients::default(),
            reload_interval: Duration::from_secs(3_600),
        });
        let (sender, receiver) = std::sync::mpsc::channel();
        let notes = Arc::clone(&seen);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(serve(reflection, config, notes, |address| sender.send(address).unwrap()));
        });
        let address: SocketAddr = receiver.recv().unwrap();
        Self { address: address.to_string(), seen, tls }
    }

    /// A header of the last call; empty if there was none.
    pub(crate) fn seen(&self, name: &str) -> String {
        let seen = self.seen.lock().unwrap();
        seen.0.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    /// How many calls there were.
    pub(crate) fn calls(&self) -> usize {
        self.seen.lock().unwrap().1
    }

    /// A workspace in which `up` seems to run this server as a service of that name, and has another, `beta`.
    pub(crate) fn workspace(&self, name: &str, with_tls: bool) -> Workspace {
        let mut workspace = Workspace::empty();
        for service in [name, "beta"] {
            let manifest =
                format!("[package]\nname = '{service}'\n[package.metadata.seawall]\nport = 1\nmetrics_port = 2\n");
            workspace.write(&format!("services/{service}/Cargo.toml"), &manifest);
        }
        let folder = workspace.root.path().join(".seawall");
        let tls = folder.join("tls");
        let credentials = json!({"ca": tls.join("ca.pem"), "cert": tls.join("developer.pem"),
            "key": tls.join("developer.key"), "identity": "spiffe://seawall.local/people/developer"});
        let state = json!({"pid": std::process::id(), "phase": "ready", "processes": [], "examples": [], "snapshot": {
            "services": [{"name": name, "address": self.address, "metrics": "127.0.0.1:2", "state": "serving",
                "pid": 1, "backend": null}],
            "otlp": null, "jaeger": null, "tls": with_tls.then_some(credentials)}});
        workspace.write(".seawall/state.json", &state.to_string());
        let lock = File::create(folder.join("up.lock")).unwrap();
        lock.lock().unwrap();
        workspace.lock = Some(lock);
        if let Some(from) = &self.tls {
            for file in ["ca.pem", "developer.pem", "developer.key", "services/alpha.pem", "services/alpha.key"] {
                let text = std::fs::read_to_string(from.path().join(file)).unwrap();
                workspace.write(&format!(".seawall/tls/{file}"), &text);
            }
        }
        workspace
    }
}

/// A folder to run commands in.
pub(crate) struct Workspace {
    pub(crate) root: TempDir,
    /// As `up` holds it.
    lock: Option<File>,
}

impl Workspace {
    pub(crate) fn empty() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("Cargo.toml"), "[workspace]\n").unwrap();
        Self { root, lock: None }
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-seawall"));
        command.current_dir(self.root.path()).args(arguments).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that reads `input`.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }
}

async fn serve(reflection: Reflection, tls: Option<Config>, seen: Seen, started: impl FnOnce(SocketAddr)) {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("", tonic_health::ServingStatus::Serving).await;
    let noting = InterceptorLayer::new(move |request: Request<()>| note(&seen, request));
    let contracts = || ReflectionBuilder::configure().register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET);
    let routes = Routes::new(noting.layer(health));
    let routes = match reflection {
        Reflection::V1 => routes.add_service(contracts().build_v1().unwrap()),
        Reflection::V1Alpha => routes.add_service(contracts().build_v1alpha().unwrap()),
        Reflection::None => routes,
    };
    let routes = routes.prepare();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let acceptor = tls.map(|tls| Acceptor::try_new(&tls).unwrap());
    started(listener.local_addr().unwrap());
    loop {
        let (stream, peer) = listener.accept().await.unwrap();
        let (acceptor, routes) = (acceptor.clone(), routes.clone());
        tokio::spawn(async move {
            match acceptor {
                None => drive(stream, routes).await,
                Some(acceptor) => {
                    if let Ok((stream, _)) = acceptor.accept(stream, peer, Duration::from_secs(10)).await {
                        drive(stream, routes).await;
                    }
                }
            }
        });
    }
}

async fn drive(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, routes: Routes) {
    let connection = Builder::new(TokioExecutor::new());
    let _ = connection.serve_connection(TokioIo::new(io), TowerToHyperService::new(routes)).await;
}

/// Keeps the headers of a call, and refuses it if they ask for that; stalls the first one if they ask for that.
fn note(seen: &Seen, request: Request<()>) -> Result<Request<()>, Status> {
    let mut seen = seen.lock().unwrap();
    *seen = (request.metadata().clone(), seen.1 + 1);
    if let Some(stall) = request.metadata().get("x-stall-once").filter(|_| seen.1 == 1) {
        let until = Instant::now() + Duration::from_millis(stall.to_str().unwrap().parse().unwrap());
        while Instant::now() < until {
            std::thread::yield_now();
        }
    }
    match request.metadata().get("x-refuse") {
        None => Ok(request),
        Some(what) => {
            let what = what.to_str().unwrap().to_owned();
            let mut details = ErrorDetails::with_error_info("NO_TEA", "shop.example", HashMap::new());
            details.add_bad_request_violation(format!("cup.{what}"), "must be poured");
            Err(Status::with_error_details(Code::InvalidArgument, format!("there is no {what}"), details))
        }
    }
}
