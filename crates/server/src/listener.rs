//! Where connections come from: TCP, a Unix socket, or whatever else accepts them.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Accepts connections for [`Server::serve`](crate::Server::serve). Dropping it closes the port.
pub trait Listener: Send + 'static {
    /// A connection.
    type Io: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// The next connection and the address of its peer. Must be cancel-safe.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Io, SocketAddr)>> + Send;
}

impl Listener for TcpListener {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = TcpListener::accept(self).await?;
        // Small frames must not wait for each other; failing to say so costs latency only.
        let _ = stream.set_nodelay(true);
        Ok((stream, peer))
    }
}

/// The peers have no addresses, and are all told to be `127.0.0.1:0`: they are on this machine.
impl Listener for UnixListener {
    type Io = UnixStream;

    async fn accept(&mut self) -> io::Result<(UnixStream, SocketAddr)> {
        let (stream, _) = UnixListener::accept(self).await?;
        Ok((stream, (Ipv4Addr::LOCALHOST, 0).into()))
    }
}
