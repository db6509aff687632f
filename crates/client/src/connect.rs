//! How a connection is made: over TCP, or over whatever else reaches the peer.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::uri::Authority;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// The port of an address that names none.
const PORT: u16 = 80;

/// A connection.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A network. The futures hold nothing of it, so that they can be driven by any task.
pub trait Connect: fmt::Debug + Send + Sync {
    /// A new connection to `authority`. Without a bound of its own: the caller has one.
    fn connect(&self, authority: &Authority) -> BoxFuture<'static, io::Result<Box<dyn Io>>>;

    /// The addresses behind the name in `authority`, at least one.
    fn resolve(&self, authority: &Authority) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// TCP, and the resolver of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Connect for Tcp {
    fn connect(&self, authority: &Authority) -> BoxFuture<'static, io::Result<Box<dyn Io>>> {
        let (host, port) = parts(authority);
        async move {
            let stream = TcpStream::connect((host.as_str(), port)).await?;
            // Small frames must not wait for each other; failing to say so costs latency only.
            let _ = stream.set_nodelay(true);
            Ok(Box::new(stream) as Box<dyn Io>)
        }
        .boxed()
    }

    fn resolve(&self, authority: &Authority) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let (host, port) = parts(authority);
        async move {
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), port)).await?.collect();
            if addresses.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address")));
            }
            Ok(addresses)
        }
        .boxed()
    }
}

/// Host and port. An IPv6 address stands in brackets in an authority, and nowhere else.
fn parts(authority: &Authority) -> (String, u16) {
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    (host.to_owned(), authority.port_u16().unwrap_or(PORT))
}
