//! A call that tells how it ended.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, HeaderName, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::{Code, Status};

/// A name that is looked up by its text is parsed each time, which is a sixth of what a layer costs.
static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With this code: the status of the response, or that of its trailers.
    Code(Code),
    /// A layer between the observer and the peer has refused it with this code: it was not made, and
    /// says nothing about the peer.
    Refused(Code),
    /// It was dropped before its end, by whoever waited for it.
    Dropped,
}

/// Hears how a call went.
pub trait Observer {
    /// The answer has begun: its headers have come, and they are not the end of it.
    fn headers(&mut self) {}

    /// The call has ended. Called exactly once.
    fn end(self, end: End);
}

/// Holds an observer until it has heard the end.
#[derive(Debug)]
struct Told<O: Observer>(Option<O>);

impl<O: Observer> Told<O> {
    fn end(&mut self, end: End) {
        if let Some(observer) = self.0.take() {
            observer.end(end);
        }
    }
}

impl<O: Observer> Drop for Told<O> {
    fn drop(&mut self) {
        if let Some(observer) = self.0.take() {
            observer.end(End::Dropped);
        }
    }
}

/// In the extensions of a response: it is a refusal, and the call was not made.
#[derive(Debug, Clone, Copy)]
struct Refusal;

/// The code in a response's headers or trailers.
pub fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers.get(&GRPC_STATUS).map(|value| Code::from_bytes(value.as_bytes()))
}

/// The code of a response that is only a status: gRPC's own, or the one that stands for the answer of
/// a proxy, which knows HTTP alone (gRPC's `http-grpc-status-mapping.md`). `None` if the answer has
/// begun.
pub fn code_of_response<B>(response: &Response<B>) -> Option<Code> {
    code_in(response.headers()).or_else(|| code_of_http(response.status()))
}

fn code_of_http(status: StatusCode) -> Option<Code> {
    Some(match status {
        StatusCode::OK => return None,
        StatusCode::BAD_REQUEST => Code::Internal,
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::Unimplemented,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Code::Unavailable,
        _ => Code::Unknown,
    })
}

/// The code that a caller sees of a call that ends with an error rather than a response:
/// `UNAVAILABLE` unless the error is a status.
pub fn code_of_error<E: 'static>(error: &E) -> Code {
    (error as &dyn Any).downcast_ref().map_or(Code::Unavailable, Status::code)
}

pin_project! {
    /// A call with its observer, or a refusal of it.
    #[derive(Debug)]
    pub struct ObservedFuture<F, O: Observer> {
        #[pin]
        state: State<F, O>,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<F, O: Observer> {
        Refused { status: Option<Status> },
        Running { #[pin] call: F, told: Told<O> },
    }
}

impl<F, O: Observer> ObservedFuture<F, O> {
    /// Observes `call`.
    pub fn new(call: F, observer: O) -> Self {
        Self { state: State::Running { call, told: Told(Some(observer)) } }
    }

    /// Answers with `status`. Observers outside are told that the call was not made.
    pub fn refused(status: impl Into<Status>) -> Self {
        Self { state: State::Refused { status: Some(status.into()) } }
    }
}

impl<F, O, B, E> Future for ObservedFuture<F, O>
where
    F: Future<Output = Result<Response<B>, E>>,
    O: Observer,
    B: Body,
    E: 'static,
{
    type Output = Result<Response<ObservedBody<B, O>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Refused { status } => {
                let status = status.take().unwrap_or_else(|| Status::cancelled("polled after its end"));
                let mut response = status.into_http();
                response.extensions_mut().insert(Refusal);
                Poll::Ready(Ok(response))
            }
            StateProj::Running { call, told } => Poll::Ready(match ready!(call.poll(cx)) {
                Ok(response) => {
                    match code_of_response(&response) {
                        Some(code) if response.extensions().get::<Refusal>().is_some() => told.end(End::Refused(code)),
                        Some(code) => told.end(End::Code(code)),
                        None => told.0.iter_mut().for_each(Observer::headers),
                    }
                    let told = Told(told.0.take());
                    Ok(response.map(|body| ObservedBody { inner: Some(body), told }))
                }
                Err(error) => {
                    told.end(End::Code(code_of_error(&error)));
                    Err(error)
                }
            }),
        }
    }
}

pin_project! {
    /// A response body whose trailers are the end of its call.
    #[derive(Debug)]
    pub struct ObservedBody<B, O: Observer> {
        #[pin]
        inner: Option<B>,
        told: Told<O>,
    }
}

/// A body that has ended.
impl<B, O: Observer> Default for ObservedBody<B, O> {
    fn default() -> Self {
        Self { inner: None, told: Told(None) }
    }
}

impl<B: Body<Error: 'static>, O: Observer> Body for ObservedBody<B, O> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else { return Poll::Ready(None) };
        let frame = ready!(inner.poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.told.end(End::Code(code_in(trailers).unwrap_or(Code::Unknown)));
                }
            }
            Some(Err(error)) => this.told.end(End::Code(code_of_error(error))),
            None => this.told.end(End::Code(Code::Unknown)),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

#[cfg(test)]
mod tests;
