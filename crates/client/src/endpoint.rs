//! One endpoint of a peer: its connection, and the breakers in front of it.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::uri::Authority;
use http::{Request, Response};
use seawall_balance::{Address, Endpoint};
use seawall_clock::now;
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use crate::Config;
use crate::answer::ResponseBody;
use crate::breakers::Breakers;
use crate::connection::Connection;
use crate::signals::Signals;

/// What calls to one endpoint go through, and whether it can take one.
#[derive(Debug, Clone)]
pub(crate) struct Guarded<S> {
    pub(crate) stack: S,
    pub(crate) breakers: Arc<Breakers>,
    pub(crate) connection: Arc<Connection>,
}

impl<S: Clone> Endpoint for Guarded<S> {
    fn is_available(&self, path: &str) -> bool {
        let is_open = || self.breakers.get(path).is_some_and(|breaker| breaker.is_open(now().into_std()));
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
pub(crate) struct Wire(pub(crate) Arc<Connection>);

impl Wire {
    pub(crate) fn new(config: &Config, address: &Address, signals: &Arc<Signals>) -> Self {
        let dialled = address.socket.and_then(|socket| socket.to_string().parse::<Authority>().ok());
        let (name, host) = (address.authority.clone(), address.authority.host());
        Self(Arc::new(Connection::new(config, dialled.unwrap_or(name), host, Arc::clone(signals))))
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
        Arc::clone(&self.0).send(request).boxed()
    }
}
