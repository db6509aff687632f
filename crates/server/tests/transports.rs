//! The same server over a Unix socket and in memory: whatever carries bytes carries calls.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use seawall_config::Reader;
use seawall_server::{Config, Listener, Server};
use seawall_shutdown::Shutdown;
use tokio::io::DuplexStream;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::service_fn;

/// Accepts the ends of pipes that are sent to it.
struct Memory(mpsc::Receiver<DuplexStream>);

impl Listener for Memory {
    type Io = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, SocketAddr)> {
        match self.0.recv().await {
            Some(stream) => Ok((stream, (Ipv4Addr::LOCALHOST, 0).into())),
            None => std::future::pending().await,
        }
    }
}

/// Serves, makes a call over `channel`, and drains.
async fn check(listener: impl Listener, channel: impl Future<Output = Channel>) {
    let config = Config::read(&mut Reader::new("", "", [("", "")]).section("server"), 0, 0);
    let server = Server::try_new(config, seawall_proto::FILE_DESCRIPTOR_SET).unwrap();
    let shutdown = Shutdown::new(Duration::from_secs(5));
    let serving = tokio::spawn(server.serve(listener, shutdown.clone()));
    let mut client = HealthClient::new(channel.await);
    let answer = client.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
    shutdown.begin();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_unix_socket_carries_calls() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let connect = service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://server");
    check(listener, async { endpoint.connect_with_connector(connect).await.unwrap() }).await;
}

#[tokio::test]
async fn a_pipe_in_memory_carries_calls() {
    let (sender, receiver) = mpsc::channel(1);
    let connect = service_fn(move |_: Uri| {
        let sender = sender.clone();
        async move {
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            sender.send(theirs).await.map_err(io::Error::other)?;
            Ok::<_, io::Error>(TokioIo::new(ours))
        }
    });
    let endpoint = Endpoint::from_static("http://server");
    check(Memory(receiver), async { endpoint.connect_with_connector(connect).await.unwrap() }).await;
}
