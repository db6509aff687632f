//! A server that speaks TLS: what peers that do not shake hands can do to it, over real sockets.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Request;
use seawall_auth::tls::{self, Connector, LocalCa, SpiffeId};
use seawall_config::{ExposeSecret as _, Reader};
use seawall_server::{Config, Server};
use seawall_shutdown::Shutdown;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// How long something may take that is waited for, before it is taken for what will not happen.
const PATIENCE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

fn user() -> SpiffeId {
    "spiffe://shop/user".parse().unwrap()
}

/// A folder with the files of a service that calls itself.
fn files() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let valid = SystemTime::now() - HOUR..SystemTime::now() + HOUR;
    let ca = LocalCa::try_new("test", &valid).unwrap();
    let issued = ca.issue(&[user()], &valid).unwrap();
    for (name, text) in [("ca", &*ca.certificate()), ("cert", &issued.cert), ("key", issued.key.expose_secret())] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn settings(folder: &Path, more: &[(&str, &str)]) -> Reader {
    let file = |name: &str| folder.join(name).display().to_string();
    let own = [("TLS_CA", "ca"), ("TLS_CERT", "cert"), ("TLS_KEY", "key")];
    let own = own.map(|(variable, name)| (format!("SEAWALL_{variable}"), file(name)));
    let local = ["LISTEN", "METRICS_LISTEN"].map(|name| (format!("SEAWALL_SERVER_{name}"), "127.0.0.1:0".to_owned()));
    let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Reader::new("", "", own.into_iter().chain(local).chain(more))
}

async fn serve(
    folder: &Path,
    more: &[(&str, &str)],
    drain_timeout: Duration,
) -> (SocketAddr, Shutdown, JoinHandle<()>) {
    let config = Config::read(&mut settings(folder, more).section("server"), 0, 0);
    let bound = Server::try_new(config, seawall_proto::FILE_DESCRIPTOR_SET).unwrap().bind().await.unwrap();
    let (address, shutdown) = (bound.address().unwrap(), Shutdown::new(drain_timeout));
    (address, shutdown.clone(), tokio::spawn(bound.run(shutdown)))
}

/// Asks for the health of a server, over TLS and HTTP/2, and answers the status of HTTP.
async fn health(address: SocketAddr, folder: &Path) -> u16 {
    let config = tls::Config::read(&mut settings(folder, &[]).section("tls")).unwrap();
    let connector = Connector::try_new(&config, Some(user())).unwrap();
    let io = connector.connect(TcpStream::connect(address).await.unwrap(), "127.0.0.1").await.unwrap();
    let (sender, connection) = h2::client::handshake(io).await.unwrap();
    let _driven = tokio::spawn(connection);
    let request = Request::post("https://test/grpc.health.v1.Health/Check").header("content-type", "application/grpc");
    let (answer, mut body) = sender.ready().await.unwrap().send_request(request.body(()).unwrap(), false).unwrap();
    body.send_data(Bytes::from_static(&[0, 0, 0, 0, 0]), true).unwrap();
    answer.await.unwrap().status().as_u16()
}

#[tokio::test]
async fn peers_that_do_not_shake_hands_hold_nobody_up_and_are_closed() {
    let folder = files();
    let timeout = ("SEAWALL_SERVER_HANDSHAKE_TIMEOUT", "300ms");
    let (address, _shutdown, _task) = serve(folder.path(), &[timeout], PATIENCE).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    assert_eq!(health(address, folder.path()).await, 200);
    for mut stream in silent {
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
        assert!(read.expect("a silent connection stays open").is_ok_and(|bytes| bytes == 0));
    }
}

#[tokio::test]
async fn a_handshake_under_way_does_not_hold_up_the_drain() {
    let folder = files();
    let timeout = ("SEAWALL_SERVER_HANDSHAKE_TIMEOUT", "1h");
    let (address, shutdown, task) = serve(folder.path(), &[timeout], HOUR).await;
    let _silent = TcpStream::connect(address).await.unwrap();
    // Accepted after the one before it.
    assert_eq!(health(address, folder.path()).await, 200);
    shutdown.begin();
    tokio::time::timeout(PATIENCE, task).await.expect("the drain did not end").unwrap();
}

#[tokio::test]
async fn a_server_whose_files_cannot_be_used_is_not_bound() {
    let folder = files();
    std::fs::write(folder.path().join("key"), "").unwrap();
    let config = Config::read(&mut settings(folder.path(), &[]).section("server"), 0, 0);
    let error = Server::try_new(config, seawall_proto::FILE_DESCRIPTOR_SET).unwrap().bind().await.unwrap_err();
    assert!(error.to_string().contains("tls.key = ") && error.to_string().contains("has no private key"), "{error}");
}
