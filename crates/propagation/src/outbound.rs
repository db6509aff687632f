//! The outbound layer: writes what travels with the call being served on the calls it makes.

use std::task::{Context, Poll};

use http::Request;
use tower::{Layer, Service};

use crate::{Criticality, Propagated};

/// Writes what travels with a call. Where the call being served has no criticality, that of the
/// method called holds; what the caller has set on the request itself comes before both.
#[derive(Debug, Clone)]
pub struct OutboundLayer<C> {
    criticality_of: C,
}

impl<C: Fn(&str) -> Option<Criticality>> OutboundLayer<C> {
    /// `criticality_of` is asked with the path of a call made where no other call is being served.
    pub fn new(criticality_of: C) -> Self {
        Self { criticality_of }
    }
}

impl<S, C: Clone> Layer<S> for OutboundLayer<C> {
    type Service = Outbound<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Outbound { inner, criticality_of: self.criticality_of.clone() }
    }
}

/// The service of [`OutboundLayer`].
#[derive(Debug, Clone)]
pub struct Outbound<S, C> {
    inner: S,
    criticality_of: C,
}

impl<S, C, ReqBody> Service<Request<ReqBody>> for Outbound<S, C>
where
    S: Service<Request<ReqBody>>,
    C: Fn(&str) -> Option<Criticality>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> S::Future {
        let set = Propagated::read(request.headers());
        let current = Propagated::current();
        let propagated = Propagated {
            criticality: set
                .criticality
                .or(current.criticality)
                .or_else(|| (self.criticality_of)(request.uri().path())),
            is_retry: current.is_retry,
        };
        propagated.write(request.headers_mut());
        self.inner.call(request)
    }
}
