//! Calls that look like those of gRPC, without a network.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::Full;
use tonic::Status;
use tower::Service;

/// The path of all calls.
pub(crate) const PATH: &str = "/shop.v1.Orders/GetOrder";

/// The body of an answer: one message and the trailers.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    message: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = self.message.take().map(Frame::data);
        Poll::Ready(data.or_else(|| self.trailers.take().map(Frame::trailers)).map(Ok))
    }
}

/// An answer that is a success.
pub(crate) fn answer() -> Response<Answer> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Answer { message: Some(Bytes::from_static(b"\0\0\0\0\x0bthe message")), trailers: Some(trailers) };
    Response::builder().header("content-type", "application/grpc").body(body).expect("a response")
}

/// A request with a message.
pub(crate) fn request<B: RequestBody>() -> Request<B> {
    Request::post(PATH)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "1S")
        .body(B::message())
        .expect("a request")
}

/// A request's body, of which there are two kinds.
pub(crate) trait RequestBody: Body<Data = Bytes, Error: std::fmt::Debug> + Unpin {
    /// One message.
    fn message() -> Self;
}

/// That of tonic, which cannot be cloned.
impl RequestBody for tonic::body::Body {
    fn message() -> Self {
        Self::new(Full::message())
    }
}

/// One that can be cloned, which tower-resilience's retries and hedges ask for.
impl RequestBody for Full<Bytes> {
    fn message() -> Self {
        Self::new(Bytes::from_static(b"\0\0\0\0\x0bthe message"))
    }
}

/// Not a text, which would be parsed in each call of those who are told what a failure is.
static STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The code in the headers of a failure; a success has it in its trailers.
pub(crate) fn is_failure<B>(response: &Response<B>) -> bool {
    response.headers().get(&STATUS).is_some_and(|code| code != "0")
}

thread_local! {
    static STOCK: RefCell<Vec<Response<Answer>>> = const { RefCell::new(Vec::new()) };
}

/// Makes answers, so that they need not be made while time is taken.
pub(crate) fn stock(answers: usize) {
    STOCK.with_borrow_mut(|stock| stock.extend((stock.len()..answers).map(|_| answer())));
}

/// Reads the request, and answers at once with what is in stock.
#[derive(Debug)]
pub(crate) struct AtOnce<B>(PhantomData<fn(B)>);

impl<B> AtOnce<B> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<B> Clone for AtOnce<B> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<B: RequestBody> Service<Request<B>> for AtOnce<B> {
    type Response = Response<Answer>;
    type Error = Status;
    type Future = Ready<Result<Response<Answer>, Status>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        assert_eq!(read(request.into_body()), 1, "a message");
        ready(Ok(STOCK.with_borrow_mut(Vec::pop).expect("enough answers")))
    }
}

/// Reads a body, all of which is there, and returns how many frames it had.
pub(crate) fn read<B: Body<Error: std::fmt::Debug>>(body: B) -> usize {
    let mut cx = Context::from_waker(Waker::noop());
    let mut body = pin!(body);
    let mut frames = 0;
    while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut cx) {
        frame.expect("a whole body");
        frames += 1;
    }
    frames
}
