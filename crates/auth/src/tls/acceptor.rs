//! The server's side of a handshake.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::failure::{HandshakeError, Reason, Side};
use super::files::TlsError;
use super::identity::SpiffeId;
use super::shared::Shared;
use super::verify::identity_of;
use super::{ALPN_H2, Config};

/// A connection that was taken.
pub type ServerStream<I> = tokio_rustls::server::TlsStream<I>;

/// Who is at the other end of the connection that a request has come by, as its certificate says. Found in
/// the extensions of the request; not there for a caller without a certificate, or without TLS.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PeerIdentity(pub(crate) SpiffeId);

impl PeerIdentity {
    /// The identity.
    pub fn id(&self) -> &SpiffeId {
        &self.0
    }
}

impl fmt::Debug for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Takes connections. Clones use the same files.
#[derive(Debug, Clone)]
pub struct Acceptor {
    shared: Shared,
}

impl Acceptor {
    /// Reads the files, unless this process uses them already. Blocks while it reads.
    ///
    /// # Errors
    /// If they cannot be used, with all that is wrong.
    pub fn try_new(config: &Config) -> Result<Self, TlsError> {
        let shared = Shared::of(config)?;
        match &shared.material().server {
            Ok(_) => Ok(Self { shared }),
            Err(error) => Err(error.clone()),
        }
    }

    /// Who this process is, by its certificate as it is now.
    pub fn identity(&self) -> Option<SpiffeId> {
        self.shared.material().identity.clone()
    }

    /// Shakes hands with `peer`, within the time. Needs a tokio runtime. Not cancel-safe: a future that is
    /// dropped takes the connection with it.
    ///
    /// # Errors
    /// If the caller is not to be trusted, or does not speak as it must. It was counted and logged.
    pub async fn accept<I>(
        &self,
        io: I,
        peer: SocketAddr,
        handshake_timeout: Duration,
    ) -> Result<(ServerStream<I>, Option<PeerIdentity>), HandshakeError>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        self.shared.watch();
        let accepted = match timeout(handshake_timeout, self.shake_hands(io)).await {
            Ok(accepted) => accepted,
            Err(_) => Err(HandshakeError::new(Reason::Timeout, io::Error::from(io::ErrorKind::TimedOut))),
        };
        accepted.inspect_err(|error| self.shared.failures().note(Side::Server, &peer, error))
    }

    async fn shake_hands<I>(&self, io: I) -> Result<(ServerStream<I>, Option<PeerIdentity>), HandshakeError>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let server = self.shared.material().server.clone();
        let server = server.map_err(|error| HandshakeError::new(Reason::Files, error))?;
        let stream = TlsAcceptor::from(server).accept(io).await?;
        let session = stream.get_ref().1;
        // rustls refuses another protocol by itself, and lets pass who names none.
        if session.alpn_protocol() != Some(ALPN_H2) {
            return Err(HandshakeError::new(Reason::NoH2, "the caller does not ask for h2 by ALPN"));
        }
        let certificate = session.peer_certificates().and_then(|chain| chain.first());
        let identity = certificate.and_then(identity_of).map(PeerIdentity);
        Ok((stream, identity))
    }
}
