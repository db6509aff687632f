//! A call whose handler panics is answered with `INTERNAL`, also in the middle of a stream, and harms
//! no other call.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use seawall_error::Error;
use tonic::Status;
use tower::{Layer, Service};

/// Has panics written to the log, in the span in which they happen, with the place.
pub(crate) fn log() {
    std::panic::set_hook(Box::new(|info: &PanicHookInfo<'_>| {
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = std::backtrace::Backtrace::capture();
        let backtrace = match backtrace.status() {
            std::backtrace::BacktraceStatus::Captured => backtrace.to_string(),
            _ => "RUST_BACKTRACE=1 shows one".to_owned(),
        };
        tracing::error!(location, message = text(info.payload()), backtrace, "panicked");
    }));
}

fn text(payload: &dyn Any) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// What the caller is told, which is nothing.
fn internal(payload: &(dyn Any + Send)) -> Status {
    Error::internal(format!("panicked: {}", text(payload))).into()
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PanicLayer;

impl<S> Layer<S> for PanicLayer {
    type Service = Panic<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Panic { inner }
    }
}

/// The service of [`PanicLayer`].
#[derive(Debug, Clone)]
pub(crate) struct Panic<S> {
    inner: S,
}

impl<S, A, B> Service<Request<A>> for Panic<S>
where
    S: Service<Request<A>, Response = Response<B>>,
{
    type Response = Response<PanicBody<B>>;
    type Error = S::Error;
    type Future = PanicFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        match catch_unwind(AssertUnwindSafe(|| self.inner.call(request))) {
            Ok(call) => PanicFuture { call: Some(call), status: None },
            Err(payload) => PanicFuture { call: None, status: Some(internal(&*payload)) },
        }
    }
}

pin_project! {
    /// The response of [`Panic`]. What has panicked is dropped and never polled again.
    pub(crate) struct PanicFuture<F> {
        #[pin]
        call: Option<F>,
        status: Option<Status>,
    }
}

impl<F, B, E> Future for PanicFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<PanicBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let status = match this.call.as_mut().as_pin_mut() {
            None => this.status.take().unwrap_or_else(|| Status::new(tonic::Code::Internal, "")),
            Some(call) => match catch_unwind(AssertUnwindSafe(|| call.poll(cx))) {
                Ok(polled) => {
                    return Poll::Ready(ready!(polled).map(|response| response.map(PanicBody::new)));
                }
                Err(payload) => {
                    drop_quietly(|| this.call.set(None));
                    internal(&*payload)
                }
            },
        };
        Poll::Ready(Ok(status.into_http()))
    }
}

pin_project! {
    /// A body that ends with the trailers of `INTERNAL` when what makes it panics.
    pub(crate) struct PanicBody<B> {
        #[pin]
        inner: Option<B>,
    }
}

impl<B> PanicBody<B> {
    fn new(inner: B) -> Self {
        Self { inner: Some(inner) }
    }
}

/// A body that has ended.
impl<B> Default for PanicBody<B> {
    fn default() -> Self {
        Self { inner: None }
    }
}

impl<B: Body> Body for PanicBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        match catch_unwind(AssertUnwindSafe(|| inner.poll_frame(cx))) {
            Ok(polled) => polled,
            Err(payload) => {
                drop_quietly(|| this.inner.set(None));
                let trailers = internal(&*payload).into_http::<()>().into_parts().0.headers;
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// Drops what has panicked, which may panic once more.
fn drop_quietly(drop: impl FnOnce()) {
    // It was logged by the hook, and the call has failed already.
    let _ = catch_unwind(AssertUnwindSafe(drop));
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{BodyExt as _, StreamBody};
    use tonic::Code;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    type Frames = Vec<fn() -> Frame<bytes::Bytes>>;

    fn code(headers: &http::HeaderMap) -> Code {
        Code::from_bytes(headers[Status::GRPC_STATUS].as_bytes())
    }

    #[tokio::test]
    async fn a_handler_that_panics_is_answered_with_internal() {
        let at_once = service_fn(|_: Request<()>| -> std::future::Ready<Result<Response<String>, Infallible>> {
            panic!("at once");
        });
        let later = service_fn(|_: Request<()>| async {
            tokio::task::yield_now().await;
            if true {
                panic!("later");
            }
            Ok::<_, Infallible>(Response::new(String::new()))
        });
        for answer in [
            PanicLayer.layer(at_once).oneshot(Request::new(())).await.unwrap(),
            PanicLayer.layer(later).oneshot(Request::new(())).await.unwrap(),
        ] {
            assert_eq!(code(answer.headers()), Code::Internal);
            let message = answer.headers()[Status::GRPC_MESSAGE].to_str().unwrap();
            assert!(!message.contains("once") && !message.contains("later"), "{message}");
        }
    }

    #[tokio::test]
    async fn a_stream_that_panics_in_its_middle_does_not_end_well() {
        let frames: Frames = vec![|| Frame::data(bytes::Bytes::from_static(b"first")), || panic!("in the middle")];
        let stream = tokio_stream::StreamExt::map(tokio_stream::iter(frames), |frame| Ok::<_, Infallible>(frame()));
        let inner = std::sync::Mutex::new(Some(StreamBody::new(stream)));
        let service = service_fn(move |_: Request<()>| {
            let body = inner.lock().unwrap().take().unwrap();
            async { Ok::<_, Infallible>(Response::new(body)) }
        });
        let answer = PanicLayer.layer(service).oneshot(Request::new(())).await.unwrap();
        let body = answer.into_body().collect().await.unwrap();
        assert_eq!(code(body.trailers().unwrap()), Code::Internal);
        assert_eq!(body.to_bytes(), "first");
    }
}
