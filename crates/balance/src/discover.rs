//! Where endpoints come from.

mod dns;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;

use http::uri::Authority;
use tokio::sync::watch;

pub use dns::{Dns, DnsConfig, Resolve, SystemResolver};

/// Where an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// What `:authority` says, and what a certificate has to be for.
    pub authority: Authority,
    /// What is dialled; without it, the authority is.
    pub socket: Option<SocketAddr>,
    /// The share of calls relative to others, 1 to 100; what is outside is cut to that.
    pub weight: u32,
    /// What else discovery knows, such as a zone, for who makes the endpoints.
    pub attributes: BTreeMap<String, String>,
}

impl Address {
    /// An endpoint that is dialled by its authority and has weight 1.
    pub fn new(authority: Authority) -> Self {
        Self { authority, socket: None, weight: 1, attributes: BTreeMap::new() }
    }
}

/// What is dialled, such as `10.0.0.7:50051`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.socket {
            Some(socket) => socket.fmt(f),
            None => f.write_str(self.authority.as_str()),
        }
    }
}

/// A source of endpoints.
pub trait Discover: Send + 'static {
    /// Waits for the next whole set of endpoints: at first for the one there is, then for each
    /// change. `None` if the last one stays for good.
    ///
    /// Must be cancel-safe: it is dropped and called again at any time, and no set may get lost by
    /// that.
    fn next(&mut self) -> impl Future<Output = Option<Vec<Address>>> + Send;

    /// Endpoints fail, so there may be others by now: look soon. Does nothing unless the source has
    /// to ask.
    fn refresh(&mut self) {}
}

/// A list that never changes.
#[derive(Debug, Clone)]
pub struct Static(Option<Vec<Address>>);

impl Static {
    /// These endpoints.
    pub fn new(addresses: impl IntoIterator<Item = Address>) -> Self {
        Self(Some(addresses.into_iter().collect()))
    }
}

impl Discover for Static {
    async fn next(&mut self) -> Option<Vec<Address>> {
        self.0.take()
    }
}

/// A list that someone else changes, such as the settings when they are read again.
#[derive(Debug, Clone)]
pub struct Watched(watch::Receiver<Vec<Address>>);

impl Watched {
    /// Follows `receiver`, from what it has now.
    pub fn new(mut receiver: watch::Receiver<Vec<Address>>) -> Self {
        receiver.mark_changed();
        Self(receiver)
    }
}

impl Discover for Watched {
    async fn next(&mut self) -> Option<Vec<Address>> {
        self.0.changed().await.ok()?;
        Some(self.0.borrow_and_update().clone())
    }
}
