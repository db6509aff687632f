//! Where a peer's endpoints come from: its settings, and DNS.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::uri::Authority;
use seawall_balance::{Address, Discover, Dns, DnsConfig, Resolve, Static};

use crate::Config;
use crate::connect::Connect;
use crate::signals::Signals;

/// The endpoints of a peer.
#[derive(Debug)]
pub(crate) enum Discovery {
    Static(Static),
    Dns(Dns<Network>),
}

impl Discovery {
    /// A single name is looked up again and again; anything else is as it is.
    pub(crate) fn new(config: &Config) -> Self {
        if let [only] = config.addresses.as_slice()
            && !is_ip(only)
        {
            let resolver = Network { connector: Arc::clone(&config.connector), authority: only.clone() };
            let dns = DnsConfig { interval: config.resolve_interval, ..DnsConfig::default() };
            match Dns::try_with_resolver(only.clone(), dns, resolver) {
                Ok(dns) => return Self::Dns(dns),
                // The settings are checked where they are read; what code makes of them is not.
                Err(error) => tracing::error!(%error, authority = %only, "the name is dialled without being looked up"),
            }
        }
        Self::Static(Static::new(config.addresses.as_slice().iter().cloned().map(Address::new)))
    }
}

fn is_ip(authority: &Authority) -> bool {
    authority.host().trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
}

impl Discover for Discovery {
    async fn next(&mut self) -> Option<Vec<Address>> {
        match self {
            Self::Static(list) => list.next().await,
            Self::Dns(dns) => dns.next().await,
        }
    }

    fn refresh(&mut self) {
        match self {
            Self::Static(list) => list.refresh(),
            Self::Dns(dns) => dns.refresh(),
        }
    }
}

/// Endpoints from anywhere, which are looked for again when a connection is lost, and whose changes calls
/// that wait are told of.
#[derive(Debug)]
pub(crate) struct Heeding<D> {
    inner: D,
    signals: Arc<Signals>,
    /// Whether the set that was given last has endpoints, until it is known to be in use.
    given: Option<bool>,
}

impl<D> Heeding<D> {
    pub(crate) fn new(inner: D, signals: Arc<Signals>) -> Self {
        Self { inner, signals, given: None }
    }
}

impl<D: Discover> Discover for Heeding<D> {
    async fn next(&mut self) -> Option<Vec<Address>> {
        // Who asks for the next one has put the last one in place.
        if let Some(has_endpoints) = self.given.take() {
            self.signals.in_use(has_endpoints);
        }
        loop {
            tokio::select! {
                // In order, so that a simulation is the same each time.
                biased;
                addresses = self.inner.next() => {
                    self.given = addresses.as_ref().map(|addresses| !addresses.is_empty());
                    return addresses;
                }
                // How soon that is, the source says: a second after the last time, where it is DNS.
                () = self.signals.until_lost() => self.inner.refresh(),
            }
        }
    }

    fn refresh(&mut self) {
        self.inner.refresh();
    }
}

/// The resolver of whatever network the peer is reached by.
#[derive(Debug)]
pub(crate) struct Network {
    connector: Arc<dyn Connect>,
    authority: Authority,
}

impl Resolve for Network {
    fn resolve(&mut self, _: &str, _: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send {
        self.connector.resolve(&self.authority)
    }
}
