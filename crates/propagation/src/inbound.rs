//! The inbound layer: reads what travels with a call, and makes it current while the call is served.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use seawall_headers::{PROPAGATED, may_have};
use tower::{Layer, Service};

use crate::{Criticality, Propagated};

/// Reads what travels with a call. Where the caller names no criticality, the method's own holds.
///
/// ```
/// use seawall_propagation::{Criticality, InboundLayer};
///
/// let layer = InboundLayer::new(|path: &str| path.ends_with("/PlaceOrder").then_some(Criticality::Critical));
/// ```
#[derive(Debug, Clone)]
pub struct InboundLayer<C> {
    criticality_of: C,
}

impl<C: Fn(&str) -> Option<Criticality>> InboundLayer<C> {
    /// `criticality_of` is asked with the path of a call that names none.
    pub fn new(criticality_of: C) -> Self {
        Self { criticality_of }
    }
}

impl<S, C: Clone> Layer<S> for InboundLayer<C> {
    type Service = Inbound<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Inbound { inner, criticality_of: self.criticality_of.clone() }
    }
}

/// The service of [`InboundLayer`].
#[derive(Debug, Clone)]
pub struct Inbound<S, C> {
    inner: S,
    criticality_of: C,
}

impl<S, C, ReqBody, ResBody> Service<Request<ReqBody>> for Inbound<S, C>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    C: Fn(&str) -> Option<Criticality>,
{
    type Response = Response<ScopedBody<ResBody>>;
    type Error = S::Error;
    type Future = ScopedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let mut propagated =
            if may_have(PROPAGATED) { Propagated::read(request.headers()) } else { Propagated::default() };
        propagated.criticality = propagated.criticality.or_else(|| (self.criticality_of)(request.uri().path()));
        ScopedFuture { call: propagated.enter(|| self.inner.call(request)), propagated }
    }
}

pin_project! {
    /// The response of [`Inbound`]: what travels with the call is current in every poll.
    #[derive(Debug)]
    pub struct ScopedFuture<F> {
        #[pin]
        call: F,
        propagated: Propagated,
    }
}

impl<F, B, E> Future for ScopedFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ScopedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let propagated = *this.propagated;
        let answer = ready!(propagated.enter(|| this.call.poll(cx)));
        Poll::Ready(answer.map(|response| response.map(|inner| ScopedBody { inner, propagated })))
    }
}

pin_project! {
    /// A response body, which may go on making calls.
    #[derive(Debug, Default)]
    pub struct ScopedBody<B> {
        #[pin]
        inner: B,
        propagated: Propagated,
    }
}

impl<B: Body> Body for ScopedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        this.propagated.enter(|| this.inner.poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
