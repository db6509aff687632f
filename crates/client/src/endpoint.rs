//! One endpoint of a peer: its connection, and the breakers in front of it.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::uri::Authority;
use http::{Request, Response};
use seawall_balance::{Address, Endpoint};
use seawall_breaker::Breaker;
use seawall_policy::{PerMethod, Policies};
use seawall_provenance::{Live, publish};
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use crate::Config;
use crate::answer::ResponseBody;
use crate::connection::Connection;

/// The breakers of one endpoint, one a method.
pub(crate) type Breakers = PerMethod<seawall_breaker::Config, Breaker>;

/// Breakers named after the peer, the endpoint and the method.
pub(crate) fn breakers(peer: &str, address: &Address, policies: &Policies) -> Arc<Breakers> {
    let endpoint = format!("{peer}/{address}");
    Arc::new(PerMethod::new(
        policies.clone(),
        |policy| Some(&policy.breaker),
        move |method, _, config| {
            let made = Breaker::try_new(endpoint.as_str(), method, config.clone(), Instant::now().into_std());
            let breaker = Arc::new(made.inspect_err(|error| tracing::error!(method, %error, "no breaker")).ok()?);
            let live: Arc<dyn Live> = Arc::<Breaker>::clone(&breaker);
            publish("breakers", format!("{endpoint}/{method}"), Arc::downgrade(&live));
            Some(breaker)
        },
    ))
}

/// What calls to one endpoint go through, and whether it can take one.
#[derive(Debug, Clone)]
pub(crate) struct Guarded<S> {
    pub(crate) stack: S,
    pub(crate) breakers: Arc<Breakers>,
    pub(crate) connection: Connection,
}

impl<S: Clone> Endpoint for Guarded<S> {
    fn is_available(&self, path: &str) -> bool {
        let is_open = || self.breakers.get(path).is_some_and(|breaker| breaker.is_open(Instant::now().into_std()));
        self.connection.is_available() && !is_open()
    }
}

impl<S: Service<Request<Body>>> Service<Request<Body>> for Guarded<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.stack.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> S::Future {
        self.stack.call(request)
    }
}

/// A connection as a service. Always ready: a call waits inside of its own deadline.
#[derive(Debug, Clone)]
pub(crate) struct Wire(pub(crate) Connection);

impl Wire {
    pub(crate) fn new(config: &Config, address: &Address) -> Self {
        let dialled = address.socket.and_then(|socket| socket.to_string().parse::<Authority>().ok());
        Self(Connection::new(config, dialled.unwrap_or_else(|| address.authority.clone())))
    }
}

impl Service<Request<Body>> for Wire {
    type Response = Response<ResponseBody>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<ResponseBody>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.0.clone().send(request).boxed()
    }
}
