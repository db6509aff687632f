//! The inbound stack and the serve loop.
//!
//! A [`Server`] takes the services that the generated code makes and adds what every process needs:
//! health, reflection (v1 and v1alpha), deadlines, telemetry, `/metrics`, and a drain that ends. The
//! serve loop drives hyper itself rather than tonic's transport, because that one cannot end a drain
//! while a peer is silent.
//!
//! [`launch`] is the `main` of a service: command line, settings, telemetry, signals.
//!
//! # Structure
//! `stack.rs` is the table of contents of what happens to a call, outermost first; `serve.rs` accepts
//! and drains connections, which `listener.rs` takes from TCP; `admin.rs` answers on the metrics port; `methods.rs` knows the methods of
//! the contracts; `config.rs` are the settings; `launch.rs` starts a process.

mod admin;
mod config;
mod launch;
mod listener;
mod methods;
mod serve;
mod stack;

use std::convert::Infallible;
use std::net::SocketAddr;

use http::{Request, Response};
use seawall_health::Health;
use seawall_shutdown::Shutdown;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tower::Service;

pub use config::Config;
pub use launch::{Identity, launch};
pub use listener::Listener;

use methods::Methods;

/// Services being put together.
#[derive(Debug)]
pub struct Server {
    config: Config,
    descriptors: &'static [u8],
    names: Vec<&'static str>,
    routes: Routes,
    health: Health,
}

impl Server {
    /// `descriptors` is an encoded `google.protobuf.FileDescriptorSet` with the contracts of what
    /// will be served.
    pub fn new(config: Config, descriptors: &'static [u8]) -> Self {
        let health = Health::new();
        let routes = Routes::new(health.service());
        Self { config, descriptors, names: vec!["grpc.health.v1.Health"], routes, health }
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
        self.routes = self.routes.add_service(service);
        self
    }

    /// Opens both ports. Nothing is answered until [`Bound::run`].
    ///
    /// # Errors
    /// If an address cannot be listened on, or the descriptors cannot be read.
    pub async fn bind(self) -> Result<Bound, ServeError> {
        let methods = Methods::try_new(self.descriptors)?;
        let routes = self.reflection(self.routes.clone())?.prepare();
        let listener = listen(self.config.listen).await?;
        let admin = listen(self.config.metrics_listen).await?;
        Ok(Bound { config: self.config, routes, methods, health: self.health, listener, admin })
    }

    /// Serves gRPC on `listener`, without a metrics port, until the shutdown begins and the drain has
    /// ended. For networks other than TCP; [`bind`](Self::bind) is what a process does.
    ///
    /// # Errors
    /// If the descriptors cannot be read.
    pub async fn serve(self, listener: impl Listener, shutdown: Shutdown) -> Result<(), ServeError> {
        let methods = Methods::try_new(self.descriptors)?;
        let routes = self.reflection(self.routes.clone())?.prepare();
        let stack = stack::stack(routes, methods, &self.config);
        serve::run(listener, stack, &self.config, &self.health, &shutdown).await;
        Ok(())
    }

    /// Both versions, because older tools speak only v1alpha. They list what is served, and know the
    /// messages of error details, so that tools can show those.
    fn reflection(&self, routes: Routes) -> Result<Routes, ServeError> {
        let builder = || {
            let builder = tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(self.descriptors)
                .register_encoded_file_descriptor_set(seawall_health::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET);
            self.names.iter().fold(builder, |builder, name| builder.with_service_name(*name))
        };
        let v1 = builder().build_v1().map_err(|source| ServeError::Reflection(Box::new(source)))?;
        let v1alpha = builder().build_v1alpha().map_err(|source| ServeError::Reflection(Box::new(source)))?;
        Ok(routes.add_service(v1).add_service(v1alpha))
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })
}

/// A server whose ports are open.
#[derive(Debug)]
pub struct Bound {
    config: Config,
    routes: Routes,
    methods: Methods,
    health: Health,
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

    /// Serves until the shutdown begins, then drains: says NOT_SERVING, accepts nothing new, lets
    /// calls in flight finish, and returns when they have or when the drain timeout has passed.
    pub async fn run(self, shutdown: Shutdown) {
        let stack = stack::stack(self.routes, self.methods.clone(), &self.config);
        tokio::select! {
            () = serve::run(self.listener, stack, &self.config, &self.health, &shutdown) => {}
            () = admin::run(self.admin, self.health.clone()) => {}
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
    Descriptors(#[source] prost::DecodeError),
    /// Reflection cannot serve the descriptors.
    #[error("cannot serve reflection")]
    Reflection(#[source] Box<dyn std::error::Error + Send + Sync>),
}
