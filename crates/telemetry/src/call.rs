//! What both layers wrap around a call: its context in every poll, and one record at its end.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Instant;

use http::{HeaderMap, HeaderName, Response};
use http_body::{Body, Frame, SizeHint};
use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt as _;
use pin_project_lite::pin_project;
use seawall_error::code_name;
use tonic::{Code, Status};
use tracing::Span;

use crate::metrics::{Instruments, Side};

/// One call: filled while it runs, read once when it ends. Dropped before its end, it was cancelled,
/// or its handler has panicked.
#[derive(Debug)]
pub(crate) struct Record {
    side: Side,
    method: Arc<str>,
    span: Option<Span>,
    context: Context,
    start: Instant,
    ended: bool,
}

impl Record {
    /// Begins a call in `context`; `make_span` is asked only if it is sampled.
    pub(crate) fn begin(side: Side, method: Arc<str>, context: Context, make_span: impl FnOnce(&str) -> Span) -> Self {
        let start = Instant::now();
        Instruments::get().started(&side, &method);
        let is_sampled = context.span().span_context().is_sampled();
        let exported = is_sampled.then(|| {
            // The span finds its parent in the current context, which the subscriber turns it into.
            let _parent = context.clone().attach();
            let span = make_span(&method);
            let own = span.in_scope(Context::current);
            (span, own)
        });
        let (span, context) = match exported {
            Some((span, own)) if own.span().span_context() != context.span().span_context() => (Some(span), own),
            // Not sampled, or nothing is exported here: the context of the caller goes on as it is.
            _ => (None, context),
        };
        Self { side, method, span, context, start, ended: false }
    }

    /// Runs `f` in the call's context.
    pub(crate) fn enter<T>(&self, f: impl FnOnce() -> T) -> T {
        match &self.span {
            Some(span) => span.in_scope(f),
            None => {
                let _current = self.context.clone().attach();
                f()
            }
        }
    }

    /// Notes the trace id in the status of `headers`, if this side sends them.
    fn annotate(&self, headers: &mut HeaderMap) {
        if matches!(self.side, Side::Server) {
            seawall_error::add_request_id(headers, &self.context.span().span_context().trace_id().to_string());
        }
    }

    /// Ends the call, the first time it is called.
    fn end(&mut self, code: Code) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let elapsed = self.start.elapsed();
        Instruments::get().ended(&self.side, &self.method, code, elapsed);
        if let Some(span) = self.span.take() {
            span.record("rpc.response.status_code", code_name(code));
            if self.is_error(code) {
                span.record("otel.status_code", "ERROR");
                span.record("error.type", code_name(code));
            }
        }
        // Not `enabled!`, which asks for neither spans nor events: our log takes events only.
        if tracing::event_enabled!(tracing::Level::DEBUG) {
            let _current = self.context.clone().attach();
            tracing::debug!(
                method = &*self.method,
                code = code_name(code),
                elapsed_us = elapsed.as_micros(),
                "call ended"
            );
        }
    }

    /// A server is at fault for some codes only (OpenTelemetry's conventions for gRPC).
    fn is_error(&self, code: Code) -> bool {
        match self.side {
            Side::Client { .. } => code != Code::Ok,
            Side::Server => matches!(
                code,
                Code::Unknown
                    | Code::DeadlineExceeded
                    | Code::Unimplemented
                    | Code::Internal
                    | Code::Unavailable
                    | Code::DataLoss
            ),
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let has_panicked = matches!(self.side, Side::Server) && std::thread::panicking();
        self.end(if has_panicked { Code::Internal } else { Code::Cancelled });
    }
}

/// The code that a caller sees of a call that ends with an error rather than a status.
fn code_of<E: 'static>(error: &E) -> Code {
    (error as &dyn Any).downcast_ref().map_or(Code::Unavailable, Status::code)
}

/// A name that is looked up by its text is parsed each time.
static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The code in a response's headers or trailers.
fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers.get(&GRPC_STATUS).map(|value| Code::from_bytes(value.as_bytes()))
}

pin_project! {
    /// The response of [`Server`](crate::Server) and [`Client`](crate::Client).
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        call: F,
        record: Option<Record>,
    }
}

impl<F> ResponseFuture<F> {
    pub(crate) fn new(call: F, record: Record) -> Self {
        Self { call, record: Some(record) }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Error: 'static>,
    E: 'static,
{
    type Output = Result<Response<RecordedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let poll = match this.record.as_ref() {
            Some(record) => record.enter(|| this.call.poll(cx)),
            None => this.call.poll(cx),
        };
        poll.map(|answer| {
            let mut record = this.record.take();
            let mut response = match answer {
                Ok(response) => response,
                Err(error) => {
                    if let Some(record) = &mut record {
                        record.end(code_of(&error));
                    }
                    return Err(error);
                }
            };
            if let (Some(code), Some(record)) = (code_in(response.headers()), &mut record) {
                record.annotate(response.headers_mut());
                record.end(code);
            }
            Ok(response.map(|body| RecordedBody { inner: body, record }))
        })
    }
}

pin_project! {
    /// A response body whose trailers end the record of its call.
    #[derive(Debug)]
    pub struct RecordedBody<B> {
        #[pin]
        inner: B,
        record: Option<Record>,
    }
}

impl<B: Default> Default for RecordedBody<B> {
    fn default() -> Self {
        Self { inner: B::default(), record: None }
    }
}

impl<B: Body<Error: 'static>> Body for RecordedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let Some(record) = this.record.as_mut().filter(|record| !record.ended) else {
            return this.inner.poll_frame(cx);
        };
        let inner = this.inner;
        let mut frame = std::task::ready!(record.enter(|| inner.poll_frame(cx)));
        match &mut frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    record.annotate(trailers);
                    record.end(code_in(trailers).unwrap_or(Code::Unknown));
                }
            }
            Some(Err(error)) => record.end(code_of(error)),
            None => record.end(Code::Unknown),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
