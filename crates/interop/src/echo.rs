//! Metadata sent back, as the case `custom_metadata` wants it: beside what the methods answer, because a
//! unary method cannot set trailers.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderValue, Request, Response};
use http_body::Frame;
use pin_project_lite::pin_project;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

/// What comes back in the headers.
pub(crate) const INITIAL: &str = "x-grpc-test-echo-initial";
/// What comes back in the trailers.
pub(crate) const TRAILING: &str = "x-grpc-test-echo-trailing-bin";

/// A service that sends back `x-grpc-test-echo-initial` with the headers and
/// `x-grpc-test-echo-trailing-bin` with the trailers of its answer.
#[derive(Debug, Clone)]
pub struct Echo<S> {
    inner: S,
}

impl<S> Echo<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: NamedService> NamedService for Echo<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Echo<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = EchoFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let initial = request.headers().get(INITIAL).cloned();
        let trailing = request.headers().get(TRAILING).cloned();
        EchoFuture { inner: self.inner.call(request), initial, trailing }
    }
}

pin_project! {
    /// The response of [`Echo`].
    #[derive(Debug)]
    pub struct EchoFuture<F> {
        #[pin]
        inner: F,
        initial: Option<HeaderValue>,
        trailing: Option<HeaderValue>,
    }
}

impl<F, E> Future for EchoFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        if let Some(initial) = this.initial.take() {
            response.headers_mut().insert(INITIAL, initial);
        }
        let Some(trailing) = this.trailing.take() else { return Poll::Ready(Ok(response)) };
        // An answer without a body has its trailers in its headers.
        if response.headers().contains_key(Status::GRPC_STATUS) {
            response.headers_mut().insert(TRAILING, trailing);
            return Poll::Ready(Ok(response));
        }
        Poll::Ready(Ok(response.map(|inner| Body::new(Trailing { inner, trailing: Some(trailing) }))))
    }
}

pin_project! {
    /// A body with one more trailer.
    struct Trailing {
        #[pin]
        inner: Body,
        trailing: Option<HeaderValue>,
    }
}

impl http_body::Body for Trailing {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<bytes::Bytes>, Status>>> {
        let this = self.project();
        let mut frame = ready!(this.inner.poll_frame(cx));
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
            && let Some(trailing) = this.trailing.take()
        {
            trailers.insert(TRAILING, trailing);
        }
        Poll::Ready(frame)
    }
}
