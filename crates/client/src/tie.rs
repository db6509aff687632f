//! A stream of requests that ends with its answer.
//!
//! The parts of a call are held by several: the body of the request by a task that sends it,
//! the answer by the caller. h2 resets a stream only when nobody holds any part of it, so that dropping
//! the answer of a call whose requests still go on would tell the peer nothing, and have it work until
//! the deadline. Here the answer is tied to the request, which breaks off when the answer is dropped.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::Reason;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::sync::oneshot;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// Held with the answer; the request breaks off when it is dropped.
type Held = oneshot::Sender<Infallible>;

/// Ties streams of requests to their answers.
#[derive(Debug, Clone)]
pub(crate) struct TieLayer<F> {
    is_stream: F,
}

impl<F: Fn(&str) -> bool> TieLayer<F> {
    /// `is_stream` says of a path whether its requests are streams. A single one soon ends by itself, and
    /// is left alone.
    pub(crate) fn new(is_stream: F) -> Self {
        Self { is_stream }
    }
}

impl<S, F: Clone> Layer<S> for TieLayer<F> {
    type Service = Tie<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        Tie { inner, is_stream: self.is_stream.clone() }
    }
}

/// The service of [`TieLayer`].
#[derive(Debug, Clone)]
pub(crate) struct Tie<S, F> {
    inner: S,
    is_stream: F,
}

impl<S, B, F> Service<Request<Body>> for Tie<S, F>
where
    S: Service<Request<Body>, Response = Response<B>>,
    F: Fn(&str) -> bool,
{
    type Response = Response<Answer<B>>;
    type Error = S::Error;
    type Future = TieFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if !(self.is_stream)(request.uri().path()) {
            return TieFuture { call: self.inner.call(request), held: None };
        }
        let (held, answer) = oneshot::channel();
        let request = request.map(|body| Body::new(Tied { body, answer }));
        TieFuture { call: self.inner.call(request), held: Some(held) }
    }
}

pin_project! {
    /// The response of [`Tie`].
    pub(crate) struct TieFuture<F> {
        #[pin]
        call: F,
        held: Option<Held>,
    }
}

impl<F, B, E> Future for TieFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Answer<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.call.poll(cx))?;
        let held = this.held.take();
        Poll::Ready(Ok(response.map(|body| Answer { body, _held: held })))
    }
}

pin_project! {
    /// The body of an answer, and what the request is tied to.
    pub(crate) struct Answer<B> {
        #[pin]
        body: B,
        _held: Option<Held>,
    }
}

impl<B: http_body::Body> http_body::Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pin_project! {
    /// The body of a request that fails once its answer is dropped.
    struct Tied {
        #[pin]
        body: Body,
        #[pin]
        answer: oneshot::Receiver<Infallible>,
    }
}

impl http_body::Body for Tied {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.project();
        if this.answer.poll(cx).is_ready() {
            // The stream is reset with the reason that is found in the error.
            let cancelled = h2::Error::from(Reason::CANCEL);
            return Poll::Ready(Some(Err(Status::from_error(Box::new(cancelled)))));
        }
        this.body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
