//! Endpoints from DNS: the addresses of a name, looked up again and again.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use http::uri::Authority;
use tokio::time::{Instant, sleep_until, timeout};

use crate::config::{ConfigError, Mistakes, TIME_MAX};
use crate::discover::{Address, Discover};

/// Looks up names. A simulated network has its own.
pub trait Resolve: Send + 'static {
    /// The addresses of `host`, each with `port`.
    ///
    /// # Errors
    /// If there is no such name, or nobody who knows. Cancel-safe.
    fn resolve(&mut self, host: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;
}

/// The resolver of the operating system. A lookup that is given up goes on, unheard, on a thread of
/// tokio's blocking pool.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    async fn resolve(&mut self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// How often a name is looked up.
#[derive(Debug, Clone, PartialEq)]
pub struct DnsConfig {
    /// The time between lookups, ±10 % so that clients that started together part: 30 s.
    pub interval: Duration,
    /// The shortest time between lookups, whatever fails: 1 s. After a lookup that fails it is the time to
    /// the next, doubled with each further failure up to `interval`.
    pub interval_min: Duration,
    /// How long a lookup may take: 5 s.
    pub lookup_timeout: Duration,
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            interval_min: Duration::from_secs(1),
            lookup_timeout: Duration::from_secs(5),
        }
    }
}

/// The addresses of a host name, each an endpoint whose authority is the name and the port.
///
/// A lookup that fails, or finds nothing, changes nothing: the addresses found before stay. Only if
/// there are none yet, the set is empty after it, so that calls fail rather than wait. A lookup that has
/// begun goes on to its end, however often [`next`](Discover::next) is dropped meanwhile.
pub struct Dns<R = SystemResolver> {
    authority: Authority,
    port: u16,
    config: DnsConfig,
    resolver: Resolver<R>,
    /// When the last lookup began.
    last: Option<Instant>,
    due: Instant,
    known: Option<Vec<SocketAddr>>,
    failures: u32,
}

/// The resolver is with the lookup that it makes.
enum Resolver<R> {
    Idle(R),
    Asked(Lookup<R>),
    /// For as long as it takes to begin a lookup.
    Gone,
}

type Lookup<R> = Pin<Box<dyn Future<Output = (R, io::Result<Vec<SocketAddr>>)> + Send>>;

impl<R> fmt::Debug for Dns<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dns").field("authority", &self.authority).field("known", &self.known).finish_non_exhaustive()
    }
}

impl Dns {
    /// Looks up the host of `authority` with the resolver of the operating system.
    ///
    /// # Errors
    /// If a value is not allowed: the authority has to have a port.
    pub fn try_new(authority: Authority, config: DnsConfig) -> Result<Self, ConfigError> {
        Self::try_with_resolver(authority, config, SystemResolver)
    }
}

impl<R: Resolve> Dns<R> {
    /// Looks up the host of `authority` with `resolver`.
    ///
    /// # Errors
    /// If a value is not allowed: the authority has to have a port.
    pub fn try_with_resolver(authority: Authority, config: DnsConfig, resolver: R) -> Result<Self, ConfigError> {
        let mut mistakes = Mistakes::default();
        let port = authority.port_u16();
        mistakes.check(port.is_some(), "authority", authority.as_str(), "must have a port");
        mistakes.positive("dns.interval_min", config.interval_min);
        mistakes.positive("dns.lookup_timeout", config.lookup_timeout);
        let is_longer = (config.interval_min..=TIME_MAX).contains(&config.interval);
        mistakes.check(is_longer, "dns.interval", config.interval, "must be dns.interval_min to 86400s");
        mistakes.into_result()?;
        let port = port.unwrap_or_default();
        let due = Instant::now();
        let resolver = Resolver::Idle(resolver);
        Ok(Self { authority, port, config, resolver, last: None, due, known: None, failures: 0 })
    }

    /// What a lookup finds: of the one under way, or of one that begins when it is due.
    async fn found(&mut self) -> io::Result<Vec<SocketAddr>> {
        if let Resolver::Idle(_) = self.resolver {
            sleep_until(self.due).await;
            self.last = Some(Instant::now());
        }
        self.resolver = match std::mem::replace(&mut self.resolver, Resolver::Gone) {
            Resolver::Idle(mut resolver) => {
                let (host, port) = (self.authority.host().trim_matches(['[', ']']).to_owned(), self.port);
                let lookup_timeout = self.config.lookup_timeout;
                Resolver::Asked(Box::pin(async move {
                    let found = timeout(lookup_timeout, resolver.resolve(&host, port)).await;
                    (resolver, found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())))
                }))
            }
            asked => asked,
        };
        let Resolver::Asked(lookup) = &mut self.resolver else { return std::future::pending().await };
        let (resolver, found) = lookup.await;
        self.resolver = Resolver::Idle(resolver);
        found
    }

    /// `Some` if there is a set that is not known yet.
    fn learn(&mut self, found: io::Result<Vec<SocketAddr>>) -> Option<Vec<SocketAddr>> {
        let error = match found {
            Ok(mut found) if !found.is_empty() => {
                if std::mem::take(&mut self.failures) > 0 {
                    tracing::info!(authority = %self.authority, endpoints = found.len(), "endpoints are found again");
                }
                self.due_after(self.config.interval);
                found.sort_unstable();
                found.dedup();
                return (self.known.as_ref() != Some(&found)).then_some(found);
            }
            Ok(_) => io::Error::new(io::ErrorKind::NotFound, "the name has no addresses"),
            Err(error) => error,
        };
        if self.failures == 0 {
            let kept = self.known.as_ref().map_or(0, Vec::len);
            tracing::warn!(authority = %self.authority, %error, kept, "endpoints cannot be looked up");
        }
        let doubled = self.config.interval_min.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.due_after(doubled.min(self.config.interval));
        self.known.is_none().then(Vec::new)
    }

    fn due_after(&mut self, interval: Duration) {
        self.due = Instant::now() + interval.mul_f64(0.9 + 0.2 * fastrand::f64()).max(self.config.interval_min);
    }

    fn endpoint(&self, socket: SocketAddr) -> Address {
        Address { socket: Some(socket), ..Address::new(self.authority.clone()) }
    }
}

impl<R: Resolve> Discover for Dns<R> {
    async fn next(&mut self) -> Option<Vec<Address>> {
        loop {
            let found = self.found().await;
            if let Some(found) = self.learn(found) {
                self.known = Some(found.clone());
                return Some(found.into_iter().map(|socket| self.endpoint(socket)).collect());
            }
        }
    }

    fn refresh(&mut self) {
        // After a lookup that failed, the next one is as soon as it should be.
        if let Some(last) = self.last.filter(|_| self.failures == 0) {
            self.due = self.due.min(last + self.config.interval_min);
        }
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests;
