//! The client's side of a handshake.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::failure::{HandshakeError, Reason, Side};
use super::files::TlsError;
use super::identity::SpiffeId;
use super::shared::Shared;
use super::{ALPN_H2, Config};

/// Makes connections to a peer. Clones use the same files.
#[derive(Debug, Clone)]
pub struct Connector {
    shared: Shared,
    identity: Option<SpiffeId>,
}

impl Connector {
    /// To peers that have this identity, whatever they are called by; without one, to those whose
    /// certificate has the name that they are called by. Reads the files, unless this process uses them
    /// already, and blocks while it does.
    ///
    /// # Errors
    /// If they cannot be used, with all that is wrong.
    pub fn try_new(config: &Config, identity: Option<SpiffeId>) -> Result<Self, TlsError> {
        let shared = Shared::of(config)?;
        shared.material().client(identity.as_ref())?;
        Ok(Self { shared, identity })
    }

    /// Shakes hands with the peer that is called `host`, a name or an IP address. Without a bound of its
    /// own: the caller has one. Needs a tokio runtime. Not cancel-safe: a future that is dropped takes the
    /// connection with it.
    ///
    /// In TLS 1.3 this returns before the server has looked at our certificate; one that it refuses is the
    /// failure of the first read, and is counted and logged then.
    ///
    /// # Errors
    /// If the peer is not to be trusted, or does not speak as it must. It was counted and logged.
    pub async fn connect<I>(&self, io: I, host: &str) -> Result<ClientStream<I>, HandshakeError>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        self.shared.watch();
        let connected = self.shake_hands(io, host).await;
        let io = connected.inspect_err(|error| self.shared.failures().note(Side::Client, &host, error))?;
        Ok(ClientStream { io, shared: self.shared.clone(), unproven: Some(host.into()) })
    }

    async fn shake_hands<I>(&self, io: I, host: &str) -> Result<TlsStream<I>, HandshakeError>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        // A name in brackets is an IPv6 address as it stands in a URL.
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(name).map_err(|error| HandshakeError::new(Reason::Name, error))?;
        let client = self.shared.material().client(self.identity.as_ref());
        let client = client.map_err(|error| HandshakeError::new(Reason::Files, error))?;
        let stream = TlsConnector::from(Arc::new(client)).connect(name, io).await?;
        if stream.get_ref().1.alpn_protocol() != Some(ALPN_H2) {
            return Err(HandshakeError::new(Reason::NoH2, "the server does not agree upon h2 by ALPN"));
        }
        Ok(stream)
    }
}

/// A connection that was made.
#[derive(Debug)]
pub struct ClientStream<I> {
    io: TlsStream<I>,
    shared: Shared,
    /// What the server is called, until it has said something: then it has taken our certificate.
    unproven: Option<Box<str>>,
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncRead for ClientStream<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, buf));
        let Some(host) = self.unproven.take() else { return Poll::Ready(read) };
        Poll::Ready(read.map_err(|error| {
            let error = HandshakeError::from(error);
            self.shared.failures().note(Side::Client, &host, &error);
            error.into()
        }))
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClientStream<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
