//! The inbound stack and the serve loop.
//!
//! A [`Server`] takes the services that the generated code makes and adds what every process needs:
//! health, reflection (v1 and v1alpha, where it is switched on), deadlines, telemetry, `/metrics`, and a drain that ends. The
//! serve loop drives hyper itself rather than tonic's transport, because that one cannot end a drain
//! while a peer is silent.
//!
//! [`launch`] is the `main` of a service: command line, settings, telemetry, signals.
//!
//! # Features
//! `heap`: heap profiles at `/debug/pprof/heap`, by jemalloc as the [`ALLOCATOR`].
//!
//! # Structure
//! `stack.rs` is the table of contents of what happens to a call, outermost first; `protocol.rs` and
//! `panics.rs` are layers of no use elsewhere, as is `unary.rs`; `whole.rs` tells the end of a request from
//! a reset; `routes.rs` finds the service of a call; `limits.rs` has what the stack's limits are. `serve.rs`
//! accepts and drains connections, which `listener.rs` takes from TCP, of each peer as many as `peers.rs`
//! allows; `connection.rs` is the life of one and how it is judged. `admission.rs` decides who may call;
//! `admin.rs` answers on the metrics port, with `runtime.rs` among the metrics; `config.rs` are the settings; `launch.rs`
//! starts a process and `handover.rs` the one after it.

mod admin;
mod admission;
mod config;
mod connection;
mod handover;
mod launch;
mod limits;
mod listener;
mod panics;
mod peers;
mod protocol;
mod routes;
mod runtime;
mod serve;
mod stack;
mod unary;
mod whole;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response};
use seawall_auth::tls::{Acceptor, SpiffeId, TlsError};
use seawall_health::Health;
use seawall_limit::Store;
use seawall_policy::{Contract, ContractError, Policies};
use seawall_shutdown::Shutdown;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

pub use config::{Admin, Config};
pub use launch::{Identity, launch};
pub use listener::Listener;
pub use seawall_profile::{ALLOCATOR, Allocator};

use admission::Admission;
use handover::{Inherited, Sockets};
use limits::Limits;
use peers::PerPeer;
use routes::Routes;

/// Services being put together.
#[derive(Debug)]
pub struct Server {
    config: Config,
    descriptors: &'static [u8],
    names: Vec<&'static str>,
    routes: Routes,
    health: Health,
    policies: Policies,
    store: Option<Arc<Store>>,
    inherited: Inherited,
}

/// The methods of the contracts in `descriptors`, and those of health and reflection.
///
/// # Errors
/// If the descriptors are not an encoded `google.protobuf.FileDescriptorSet`.
pub fn contract(descriptors: &[u8]) -> Result<Contract, ServeError> {
    Ok(Contract::try_new(&descriptor_sets(descriptors))?)
}

/// Those of everything that may be served.
fn descriptor_sets(descriptors: &[u8]) -> [&[u8]; 4] {
    [
        descriptors,
        seawall_health::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ]
}

impl Server {
    /// `descriptors` is an encoded `google.protobuf.FileDescriptorSet` with the contracts of what
    /// will be served, and whose policies hold.
    ///
    /// # Errors
    /// If the descriptors cannot be read, or what they declare is wrong.
    pub fn try_new(config: Config, descriptors: &'static [u8]) -> Result<Self, ServeError> {
        let policies = Policies::try_new(contract(descriptors)?, None)?;
        Ok(Self::with_policies(config, descriptors, policies))
    }

    /// The same with policies that are changed while it runs; they are those of [`contract`].
    pub fn with_policies(config: Config, descriptors: &'static [u8], policies: Policies) -> Self {
        let health = Health::new();
        let mut routes = Routes::default();
        routes.add(health.service());
        let names = vec!["grpc.health.v1.Health"];
        Self { config, descriptors, names, routes, health, policies, store: None, inherited: Inherited::default() }
    }

    /// Keeps the rates that are declared `shared` in this store.
    #[must_use]
    pub fn with_store(mut self, store: Arc<Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Serves on these sockets instead of those of its settings.
    #[must_use]
    pub(crate) fn with_sockets(mut self, inherited: Inherited) -> Self {
        self.inherited = inherited;
        self
    }

    /// How the methods are served and called: what the channels of this process need.
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// The health that this server answers with; take a latch for everything that must be ready.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Adds a service.
    #[must_use]
    pub fn add_service<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + NamedService,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        self.names.push(S::NAME);
        self.health.register(S::NAME);
        self.routes.add(service);
        self
    }

    /// Opens both ports. Nothing is answered until [`Bound::run`].
    ///
    /// # Errors
    /// If an address cannot be listened on, or the descriptors or the files of TLS cannot be used.
    pub async fn bind(mut self) -> Result<Bound, ServeError> {
        let limits = Limits::try_new(&self.config, &self.policies, self.store.clone())?;
        let routes = self.routes()?;
        let acceptor = self.config.acceptor()?;
        let admission = self.admission(acceptor.as_ref())?;
        let listener = listen(self.inherited.grpc.take(), self.config.listen).await?;
        let admin = listen(self.inherited.metrics.take(), self.config.metrics_listen).await?;
        let Self { config, policies, health, .. } = self;
        Ok(Bound { config, routes, policies, limits, health, acceptor, admission, listener, admin })
    }

    /// Serves gRPC on `listener`, without a metrics port, until the shutdown begins and the drain has
    /// ended. For networks other than TCP; [`bind`](Self::bind) is what a process does.
    ///
    /// # Errors
    /// If the descriptors or the files of TLS cannot be used.
    pub async fn serve(self, listener: impl Listener, shutdown: Shutdown) -> Result<(), ServeError> {
        let mut limits = Limits::try_new(&self.config, &self.policies, self.store.clone())?;
        let routes = self.routes()?;
        let acceptor = self.config.acceptor()?;
        let admission = self.admission(acceptor.as_ref())?;
        let sampling = limits.sampling();
        let stack = stack::stack(routes, &self.policies, limits, admission.layer(), &self.config);
        let listener = PerPeer::new(listener, self.config.connections_per_peer_max);
        tokio::select! {
            () = serve::run(listener, acceptor, stack, &self.config, &self.health, &shutdown) => {}
            () = sampling => {}
            () = admission.run() => {}
        }
        Ok(())
    }

    /// The same without what happens to a call on its way in: what comparisons tell the cost of the layers by. It
    /// keeps no deadline, limit, metric or rule, so it is for nothing else.
    #[doc(hidden)]
    pub async fn serve_without_layers(self, listener: impl Listener, shutdown: Shutdown) -> Result<(), ServeError> {
        let routes = self.routes()?;
        serve::run(listener, None, routes, &self.config, &self.health, &shutdown).await;
        Ok(())
    }

    fn admission(&self, acceptor: Option<&Acceptor>) -> Result<Admission, ServeError> {
        let own = acceptor.and_then(Acceptor::identity);
        let trust_domain = own.as_ref().map(SpiffeId::trust_domain);
        Admission::try_new(&self.config, self.descriptors, &self.names, trust_domain, &self.health)
    }

    /// The services, and reflection if the settings want it: both versions, because older tools speak only
    /// v1alpha. They list what is served, and know the messages of error details, so that tools can show those.
    fn routes(&self) -> Result<Routes, ServeError> {
        let is_twice = |(at, name): &(usize, &&'static str)| self.names[..*at].contains(name);
        if let Some((_, name)) = self.names.iter().enumerate().find(is_twice) {
            return Err(ServeError::Twice { name });
        }
        let mut routes = self.routes.clone();
        if !self.config.reflection {
            return Ok(routes);
        }
        let builder = || {
            let builder = tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(self.descriptors)
                .register_encoded_file_descriptor_set(seawall_health::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET);
            self.names.iter().fold(builder, |builder, name| builder.with_service_name(*name))
        };
        let v1 = builder().build_v1().map_err(|source| ServeError::Reflection(Box::new(source)))?;
        let v1alpha = builder().build_v1alpha().map_err(|source| ServeError::Reflection(Box::new(source)))?;
        routes.add(v1);
        routes.add(v1alpha);
        Ok(routes)
    }
}

async fn listen(inherited: Option<std::net::TcpListener>, address: SocketAddr) -> Result<TcpListener, ServeError> {
    let listener = match inherited {
        Some(listener) => TcpListener::from_std(listener),
        None => TcpListener::bind(address).await,
    };
    listener.map_err(|source| ServeError::Listen { address, source })
}

/// A server whose ports are open.
#[derive(Debug)]
pub struct Bound {
    config: Config,
    routes: Routes,
    policies: Policies,
    limits: Limits,
    health: Health,
    acceptor: Option<Acceptor>,
    admission: Admission,
    listener: TcpListener,
    admin: TcpListener,
}

impl Bound {
    /// Where gRPC is served.
    ///
    /// # Errors
    /// If the operating system has forgotten.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where `/metrics` is served.
    ///
    /// # Errors
    /// If the operating system has forgotten.
    pub fn metrics_address(&self) -> std::io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// The sockets, for a process that comes after this one.
    pub(crate) fn sockets(&self) -> std::io::Result<Sockets> {
        Sockets::of(&self.listener, &self.admin)
    }

    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    /// Serves until the shutdown begins, then drains: says NOT_SERVING, accepts nothing new, lets
    /// calls in flight finish, and returns when they have or when the drain timeout has passed.
    pub async fn run(mut self, shutdown: Shutdown) {
        let sampling = self.limits.sampling();
        // Shown for as long as it is held.
        let _in_force = admin::show_in_force(&self.policies);
        if self.config.admin != Admin::Off {
            seawall_profile::sample_heap().await;
        }
        let _observed = runtime::observe(&tokio::runtime::Handle::current());
        let layer = self.admission.layer();
        let stack = stack::stack(self.routes, &self.policies, self.limits, layer, &self.config);
        let listener = PerPeer::new(self.listener, self.config.connections_per_peer_max);
        tokio::select! {
            () = serve::run(listener, self.acceptor, stack, &self.config, &self.health, &shutdown) => {}
            () = admin::run(self.admin, self.health.clone(), self.config.admin) => {}
            () = sampling => {}
            () = self.admission.run() => {}
        }
    }
}

/// Why a server cannot serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is taken, not of this machine, or not allowed.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The descriptors are not an encoded `FileDescriptorSet`.
    #[error("cannot read the descriptors of the contracts")]
    Contract(#[from] ContractError),
    /// What the contracts declare cannot be.
    #[error(transparent)]
    Policies(#[from] seawall_policy::Mistakes),
    /// What the contracts say of those who may call cannot be.
    #[error(transparent)]
    Rules(#[from] seawall_auth::rules::Mistakes),
    /// The files of TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A limit cannot be as the settings have it.
    #[error("cannot limit calls")]
    Limit(#[from] seawall_limit::ConfigError),
    /// Two services have one name, so that calls could be for either.
    #[error("the service {name} was added twice")]
    Twice {
        /// The name.
        name: &'static str,
    },
    /// Reflection cannot serve the descriptors.
    #[error("cannot serve reflection")]
    Reflection(#[source] Box<dyn std::error::Error + Send + Sync>),
}
