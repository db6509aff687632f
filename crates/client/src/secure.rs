//! TLS over a connection to an endpoint.

use std::io;
use std::sync::OnceLock;

use seawall_auth::tls::{self, Connector, SpiffeId};

use crate::connect::Io;

/// How a peer is called whose addresses begin with `https://`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The files of this process.
    pub files: tls::Config,
    /// Who the peer must be; without it, its certificate must have the name by which it is called.
    pub identity: Option<SpiffeId>,
}

/// What a new connection is secured by, if it is.
#[derive(Debug)]
pub(crate) struct Secure {
    tls: Option<Tls>,
    /// What the endpoint is called: a name that was looked up, rather than the address behind it.
    host: String,
    /// Kept once the files could be used, so that they are read again only when they change.
    connector: OnceLock<Connector>,
}

impl Secure {
    pub(crate) fn new(tls: Option<Tls>, host: &str) -> Self {
        Self { tls, host: host.to_owned(), connector: OnceLock::new() }
    }

    /// Shakes hands, where TLS is wanted.
    pub(crate) async fn over(&self, io: Box<dyn Io>) -> io::Result<Box<dyn Io>> {
        let Some(tls) = &self.tls else { return Ok(io) };
        let connector = match self.connector.get() {
            Some(connector) => connector,
            None => {
                let made = Connector::try_new(&tls.files, tls.identity.clone()).map_err(io::Error::other)?;
                self.connector.get_or_init(|| made)
            }
        };
        Ok(Box::new(connector.connect(io, &self.host).await?))
    }
}
