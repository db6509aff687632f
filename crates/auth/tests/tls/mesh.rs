//! The files of the processes of a trust domain, and connections between them.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use seawall_auth::tls::{Acceptor, ClientStream, Config, Connector, HandshakeError, LocalCa, Reason, SpiffeId};
use seawall_config::{ExposeSecret as _, Reader};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// How long something may take that is waited for, before it is taken for what will not happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long handshakes may take where the test is not about that.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3_600);

/// A folder with the files of an authority and of those that it has signed.
pub(crate) struct Mesh {
    folder: TempDir,
    pub(crate) ca: LocalCa,
}

pub(crate) fn id(service: &str) -> SpiffeId {
    format!("spiffe://shop/{service}").parse().unwrap()
}

/// Now, and an hour before and after.
pub(crate) fn valid() -> Range<SystemTime> {
    SystemTime::now() - HOUR..SystemTime::now() + HOUR
}

pub(crate) fn past() -> Range<SystemTime> {
    SystemTime::now() - 2 * HOUR..SystemTime::now() - HOUR
}

pub(crate) fn future() -> Range<SystemTime> {
    SystemTime::now() + HOUR..SystemTime::now() + 2 * HOUR
}

pub(crate) fn authority() -> LocalCa {
    LocalCa::try_new("test", &valid()).unwrap()
}

impl Mesh {
    pub(crate) fn new() -> Self {
        let mesh = Self { folder: tempfile::tempdir().unwrap(), ca: authority() };
        mesh.write("ca.pem", &mesh.ca.certificate());
        mesh
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces a file as whoever renews it must: by renaming, so that none is read half.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let next = self.path("next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, self.path(name)).unwrap();
    }

    /// Writes `NAME.pem` and `NAME.key`, for these identities and signed by `ca`.
    pub(crate) fn issue(&self, name: &str, ca: &LocalCa, ids: &[SpiffeId], valid: &Range<SystemTime>) {
        let issued = ca.issue(ids, valid).unwrap();
        self.write(&format!("{name}.key"), issued.key.expose_secret());
        self.write(&format!("{name}.pem"), &issued.cert);
    }

    /// A mesh in which everything is as it should be: `user` serves, `order` calls.
    pub(crate) fn good() -> Self {
        let mesh = Self::new();
        for service in ["user", "order"] {
            mesh.issue(service, &mesh.ca, &[id(service)], &valid());
        }
        mesh
    }

    /// The settings of a process with the files of that name; an empty name for one without a certificate.
    pub(crate) fn config(&self, name: &str, ca: &str, more: &[(&str, &str)]) -> Config {
        let file = |name: &str| self.path(name).display().to_string();
        let mut variables = vec![("SEAWALL_TLS_RELOAD_INTERVAL", "100ms".to_owned())];
        if !name.is_empty() {
            variables.push(("SEAWALL_TLS_CERT", file(&format!("{name}.pem"))));
            variables.push(("SEAWALL_TLS_KEY", file(&format!("{name}.key"))));
        }
        if !ca.is_empty() {
            variables.push(("SEAWALL_TLS_CA", file(ca)));
        }
        variables.extend(more.iter().map(|(variable, value)| (*variable, (*value).to_owned())));
        let mut reader = Reader::new("", "", variables);
        let config = Config::read(&mut reader.section("tls"));
        reader.finish().unwrap();
        config.unwrap()
    }

    /// `user`, which its trust domain may call.
    pub(crate) async fn user(&self) -> Server {
        Server::start(&self.config("user", "ca.pem", &[])).await
    }

    /// What `order` calls `user` with.
    pub(crate) fn order(&self) -> Connector {
        Connector::try_new(&self.config("order", "ca.pem", &[]), Some(id("user"))).unwrap()
    }
}

/// How a handshake has ended for the server: with the identity of the caller, or why it failed.
pub(crate) type Taken = Result<Option<String>, Reason>;

/// A server that answers what it is sent, and tells of each handshake.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    taken: mpsc::UnboundedReceiver<Taken>,
}

impl Server {
    pub(crate) async fn start(config: &Config) -> Self {
        Self::with_timeout(config, HANDSHAKE_TIMEOUT).await
    }

    pub(crate) async fn with_timeout(config: &Config, handshake_timeout: Duration) -> Self {
        let acceptor = Acceptor::try_new(config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, taken) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((io, peer)) = listener.accept().await {
                let (acceptor, tell) = (acceptor.clone(), tell.clone());
                tokio::spawn(async move {
                    let accepted = acceptor.accept(io, peer, handshake_timeout).await;
                    let taken = accepted.as_ref().map(|(_, caller)| caller.as_ref().map(|it| it.id().to_string()));
                    let _ = tell.send(taken.map_err(|error| error.reason()));
                    let Ok((mut stream, _)) = accepted else { return };
                    let mut byte = [0];
                    while stream.read_exact(&mut byte).await.is_ok() && stream.write_all(&byte).await.is_ok() {
                        let _ = stream.flush().await;
                    }
                });
            }
        });
        Self { address, taken }
    }

    /// How the next handshake ended.
    pub(crate) async fn taken(&mut self) -> Taken {
        tokio::time::timeout(PATIENCE, self.taken.recv()).await.expect("no handshake has ended").unwrap()
    }

    /// A connection by that connector, which calls the server by its address.
    pub(crate) async fn connect(&self, connector: &Connector) -> Result<ClientStream<TcpStream>, Reason> {
        let io = TcpStream::connect(self.address).await.unwrap();
        connector.connect(io, "127.0.0.1").await.map_err(|error| error.reason())
    }
}

/// Whether something that is sent comes back, which is when both ends trust each other.
pub(crate) async fn is_answered(stream: &mut ClientStream<TcpStream>) -> bool {
    answer(stream).await.is_ok()
}

/// The same, with what is said where nothing comes back.
pub(crate) async fn answer(stream: &mut ClientStream<TcpStream>) -> Result<(), Reason> {
    // A server that has refused already may have closed the connection.
    let _ = stream.write_all(b"?").await;
    let _ = stream.flush().await;
    match stream.read_exact(&mut [0]).await {
        Ok(_) => Ok(()),
        Err(error) => {
            let refused = error.get_ref().and_then(|error| error.downcast_ref::<HandshakeError>());
            Err(refused.map_or(Reason::Other, HandshakeError::reason))
        }
    }
}

/// Asks until it is so. Each attempt is a real connection, so this does not spin.
pub(crate) async fn until<F: Future<Output = bool>>(mut ask: impl FnMut() -> F) {
    let asked = async { while !ask().await {} };
    tokio::time::timeout(PATIENCE, asked).await.expect("it never was so");
}
