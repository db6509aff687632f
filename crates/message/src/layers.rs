//! The layers: around the requests of a server, around the answers to a client.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tonic::Status;
use tower::{Layer, Service};

use crate::{Expected, MessageBody};

/// Judges the messages of requests.
///
/// What is wrong with one is the error of the request's body, which tonic answers with.
#[derive(Debug, Clone)]
pub struct ServerLayer<E> {
    expected: E,
}

impl<E: Fn(&str) -> Expected> ServerLayer<E> {
    /// `expected` is asked with the path of a call.
    pub fn new(expected: E) -> Self {
        Self { expected }
    }
}

impl<S, E: Clone> Layer<S> for ServerLayer<E> {
    type Service = Server<S, E>;

    fn layer(&self, inner: S) -> Self::Service {
        Server { inner, expected: self.expected.clone() }
    }
}

/// The service of [`ServerLayer`].
#[derive(Debug, Clone)]
pub struct Server<S, E> {
    inner: S,
    expected: E,
}

impl<S, E, B> Service<Request<B>> for Server<S, E>
where
    S: Service<Request<MessageBody<B>>>,
    E: Fn(&str) -> Expected,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        let expected = (self.expected)(request.uri().path());
        self.inner.call(request.map(|body| MessageBody::new(body, Some(expected))))
    }
}

/// Judges the messages of answers.
///
/// What is wrong with one is the error of the answer's body, which tonic gives to the caller.
#[derive(Debug, Clone)]
pub struct ClientLayer<E> {
    expected: E,
}

impl<E: Fn(&str) -> Expected> ClientLayer<E> {
    /// `expected` is asked with the path of a call.
    pub fn new(expected: E) -> Self {
        Self { expected }
    }
}

impl<S, E: Clone> Layer<S> for ClientLayer<E> {
    type Service = Client<S, E>;

    fn layer(&self, inner: S) -> Self::Service {
        Client { inner, expected: self.expected.clone() }
    }
}

/// The service of [`ClientLayer`].
#[derive(Debug, Clone)]
pub struct Client<S, E> {
    inner: S,
    expected: E,
}

impl<S, E, A, B> Service<Request<A>> for Client<S, E>
where
    S: Service<Request<A>, Response = Response<B>>,
    E: Fn(&str) -> Expected,
{
    type Response = Response<MessageBody<B>>;
    type Error = S::Error;
    type Future = ClientFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let expected = (self.expected)(request.uri().path());
        ClientFuture { call: self.inner.call(request), expected }
    }
}

pin_project! {
    /// The response of [`Client`]. Dropping it drops the call.
    #[derive(Debug)]
    pub struct ClientFuture<F> {
        #[pin]
        call: F,
        expected: Expected,
    }
}

impl<F, B, E> Future for ClientFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<MessageBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let expected = *this.expected;
        let answer = ready!(this.call.poll(cx));
        Poll::Ready(answer.map(|response| {
            // An answer that is only a status has no messages.
            let has_messages = !response.headers().contains_key(Status::GRPC_STATUS);
            response.map(|body| MessageBody::new(body, has_messages.then_some(expected)))
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http::HeaderMap;
    use http_body::Frame;
    use http_body_util::{BodyExt as _, StreamBody};
    use tonic::Code;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    const ONE: &[u8] = &[0, 0, 0, 0, 2, 8, 1];

    type Frames = Vec<Result<Frame<Bytes>, Status>>;

    fn body(
        parts: &[&'static [u8]],
        status: Option<&'static str>,
    ) -> impl http_body::Body<Data = Bytes, Error = Status> + use<> {
        let mut frames: Frames = parts.iter().map(|part| Ok(Frame::data(Bytes::from_static(part)))).collect();
        if let Some(status) = status {
            let trailers = HeaderMap::from_iter([(Status::GRPC_STATUS, status.parse().unwrap())]);
            frames.push(Ok(Frame::trailers(trailers)));
        }
        StreamBody::new(tokio_stream::iter(frames))
    }

    fn expected(path: &str) -> Expected {
        Expected { bytes_max: 2, is_stream: path == "/stream" }
    }

    async fn request(path: &str, parts: &[&'static [u8]]) -> Result<usize, Code> {
        let read = service_fn(|request: Request<MessageBody<_>>| async move {
            let body: http_body_util::Collected<Bytes> = request.into_body().collect().await?;
            Ok::<_, Status>(body.to_bytes().len())
        });
        let request = Request::post(path).body(body(parts, None)).unwrap();
        ServerLayer::new(expected).layer(read).oneshot(request).await.map_err(|status| status.code())
    }

    async fn answer(path: &str, parts: &[&'static [u8]], status: &'static str) -> Result<usize, Code> {
        let parts = parts.to_vec();
        let peer = service_fn(move |_: Request<()>| {
            let body = body(&parts, Some(status));
            async move { Ok::<_, Infallible>(Response::new(body)) }
        });
        let request = Request::post(path).body(()).unwrap();
        let answer = ClientLayer::new(expected).layer(peer).oneshot(request).await.unwrap();
        answer.into_body().collect().await.map(|body| body.to_bytes().len()).map_err(|status| status.code())
    }

    #[tokio::test]
    async fn one_message_and_no_more_is_what_a_unary_call_has() {
        assert_eq!(request("/unary", &[ONE]).await, Ok(7));
        assert_eq!(request("/unary", &[]).await, Err(Code::Unimplemented));
        assert_eq!(request("/unary", &[ONE, ONE]).await, Err(Code::Unimplemented));
        assert_eq!(request("/stream", &[ONE, ONE]).await, Ok(14));
        assert_eq!(request("/stream", &[]).await, Ok(0));
        assert_eq!(answer("/unary", &[ONE], "0").await, Ok(7));
        assert_eq!(answer("/unary", &[], "0").await, Err(Code::Unimplemented));
        assert_eq!(answer("/unary", &[ONE, ONE], "0").await, Err(Code::Unimplemented));
        assert_eq!(answer("/stream", &[ONE, ONE], "0").await, Ok(14));
    }

    #[tokio::test]
    async fn a_call_that_failed_needs_no_message() {
        assert_eq!(answer("/unary", &[], "5").await, Ok(0));
    }

    #[tokio::test]
    async fn a_message_that_is_too_large_is_refused_before_it_has_come() {
        assert_eq!(request("/unary", &[&[0, 0, 0, 0, 3]]).await, Err(Code::ResourceExhausted));
        assert_eq!(request("/stream", &[ONE, &[0, 255, 255], &[255, 255]]).await, Err(Code::ResourceExhausted));
        assert_eq!(answer("/unary", &[&[0, 0, 0, 0, 3]], "0").await, Err(Code::ResourceExhausted));
    }
}
