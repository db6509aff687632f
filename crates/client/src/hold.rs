//! The layer around all others, in which the clock is read once a poll.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use seawall_clock::hold;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// Holds the clock while what is inside is called and polled. Nothing there runs for long: what the caller does comes
/// before and after. Outermost, and so also what hides the type of the body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HoldLayer;

impl<S> Layer<S> for HoldLayer {
    type Service = Hold<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Hold { inner }
    }
}

/// The service of [`HoldLayer`].
#[derive(Debug, Clone)]
pub(crate) struct Hold<S> {
    inner: S,
}

impl<S, B> Service<Request<Body>> for Hold<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    B: http_body::Body<Data = Bytes, Error = Status> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = HoldFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        HoldFuture { call: hold(|| self.inner.call(request)) }
    }
}

pin_project! {
    /// The response of [`Hold`].
    pub(crate) struct HoldFuture<F> {
        #[pin]
        call: F,
    }
}

impl<F, B, E> Future for HoldFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: http_body::Body<Data = Bytes, Error = Status> + Send + 'static,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(hold(|| self.project().call.poll(cx)))?;
        Poll::Ready(Ok(response.map(|body| Body::new(HoldBody { body }))))
    }
}

pin_project! {
    /// The body of an answer.
    struct HoldBody<B> {
        #[pin]
        body: B,
    }
}

impl<B: http_body::Body> http_body::Body for HoldBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        hold(|| self.project().body.poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
