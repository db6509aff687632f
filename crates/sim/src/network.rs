//! The simulated network, as the server and the client take it.

use std::io;
use std::net::{IpAddr, SocketAddr};

use futures_util::FutureExt as _;
use futures_util::future::{self, BoxFuture};
use http::uri::Authority;
use seawall_client::{Connect, Io};
use seawall_server::Listener;
use turmoil::net::{TcpListener, TcpStream};

/// Where every host serves.
pub(crate) const PORT: u16 = 50_051;

/// The port of the host that this is called on.
pub(crate) struct Port(TcpListener);

impl Port {
    pub(crate) async fn open() -> io::Result<Self> {
        TcpListener::bind(("0.0.0.0", PORT)).await.map(Self)
    }
}

impl Listener for Port {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        self.0.accept().await
    }
}

/// Connections from the host that this is called on. A name stands for all hosts that are called so
/// with a number behind: `user` for `user-0`, `user-1` and `user-2`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Network;

impl Network {
    fn addresses(authority: &Authority) -> io::Result<Vec<SocketAddr>> {
        let host = authority.host();
        let ips: Vec<IpAddr> = match host.parse() {
            Ok(ip) => vec![ip],
            Err(_) => {
                let hosts = crate::shop::HOSTS
                    .iter()
                    .filter(|name| name.trim_end_matches(char::is_numeric).trim_end_matches('-') == host);
                hosts.map(|name| turmoil::lookup(*name)).collect()
            }
        };
        if ips.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("no host is called {host}")));
        }
        Ok(ips.into_iter().map(|ip| SocketAddr::new(ip, authority.port_u16().unwrap_or(PORT))).collect())
    }
}

impl Connect for Network {
    fn connect(&self, authority: &Authority) -> BoxFuture<'static, io::Result<Box<dyn Io>>> {
        let addresses = Self::addresses(authority);
        async move {
            // A name is connected to like a service address: any of its hosts.
            let addresses = addresses?;
            let address = addresses[fastrand::usize(..addresses.len())];
            Ok(Box::new(TcpStream::connect(address).await?) as Box<dyn Io>)
        }
        .boxed()
    }

    fn resolve(&self, authority: &Authority) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        future::ready(Self::addresses(authority)).boxed()
    }
}
