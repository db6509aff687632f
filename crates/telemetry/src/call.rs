//! What both layers wrap around a call: its context in every poll, and one record at its end.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Instant, SystemTime};

use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use seawall_classify::{code_in, code_of_error};
use seawall_clock::now;
use seawall_error::code_name;
use seawall_trace::{Carried, Scope, SpanId, TraceContext};
use tonic::Code;

use crate::context::{self, Begins};
use crate::encode::unix_nanos;
use crate::export::{self, Finished, What};
use crate::histogram::Shards;
use crate::log;
use crate::series::{Kind, Series};

/// One call: filled while it runs, read once when it ends. Dropped before its end, it was cancelled,
/// or its handler has panicked.
#[derive(Debug)]
pub(crate) struct Record {
    series: &'static Series,
    scope: Scope,
    start: Instant,
    peer: Option<SocketAddr>,
    span: Option<Span>,
    ended: bool,
}

/// What a call that is recorded has besides.
#[derive(Debug)]
struct Span {
    context: TraceContext,
    parent: SpanId,
    start: SystemTime,
}

impl Record {
    /// Begins a call in a trace: that of `parent` if it is in one, or a new one. What travels with the
    /// trace goes on.
    pub(crate) fn begin(
        series: &'static Series,
        (parent, carried): (TraceContext, Option<Arc<Carried>>),
        begins: Begins,
        peer: impl FnOnce() -> Option<SocketAddr>,
    ) -> Self {
        if series.kind == Kind::Server {
            Shards::started(series);
        }
        let (mut context, parent) =
            if parent.is_valid() { (parent, parent.span_id) } else { (context::begin(begins), SpanId::default()) };
        let is_recorded = context.is_sampled && export::is_on();
        let span = is_recorded.then(|| {
            // A root has its own ids already.
            if parent != SpanId::default() {
                context = context.child();
            }
            Span { context, parent, start: SystemTime::now() }
        });
        let peer = if is_recorded || log::writes_calls() { peer() } else { None };
        // Where nothing is exported, the context of the caller goes on as it is.
        let scope = Scope::new(context).with_carried(carried);
        let scope = if is_recorded { scope.recorded() } else { scope };
        Self { series, scope, start: now().into_std(), peer, span, ended: false }
    }

    /// Runs `f` in the call's scope.
    pub(crate) fn enter<T>(&mut self, f: impl FnOnce() -> T) -> T {
        self.scope.enter(f)
    }

    /// Notes the trace id in the status of `headers`, if this side sends them and it is an error.
    fn annotate(&self, headers: &mut HeaderMap, code: Code) {
        if self.series.kind == Kind::Server && code != Code::Ok {
            seawall_error::add_request_id(headers, &self.scope.context().trace_id.to_string());
        }
    }

    /// Ends the call, the first time it is called.
    fn end(&mut self, code: Code) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let elapsed = now().into_std().saturating_duration_since(self.start);
        Shards::ended(self.series, code, elapsed);
        // Not `enabled!`, which asks for neither spans nor events: our log takes events only.
        if tracing::event_enabled!(tracing::Level::DEBUG) {
            let method = &*self.series.method;
            let line =
                || tracing::debug!(method, code = code_name(code), elapsed_us = elapsed.as_micros(), "call ended");
            self.scope.enter(line);
        }
        if self.series.kind == Kind::Server && log::writes_calls() {
            let (method, peer) = (&*self.series.method, self.peer);
            self.scope.enter(|| log::call(method, code, elapsed, peer));
        }
        if let Some(Span { context, parent, start }) = self.span.take() {
            let start = unix_nanos(start);
            let end = start.saturating_add(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX));
            let (carried, notes) = (self.scope.carried().cloned(), self.scope.take_notes());
            let what = What::Call { series: self.series, code, peer: self.peer };
            export::push(&Finished { context, parent, carried, start, end, notes, what });
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let has_panicked = self.series.kind == Kind::Server && std::thread::panicking();
        self.end(if has_panicked { Code::Internal } else { Code::Cancelled });
    }
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
        let poll = match this.record.as_mut() {
            Some(record) => record.enter(|| this.call.poll(cx)),
            None => this.call.poll(cx),
        };
        poll.map(|answer| {
            let mut record = this.record.take();
            let mut response = match answer {
                Ok(response) => response,
                Err(error) => {
                    if let Some(record) = &mut record {
                        record.end(code_of_error(&error));
                    }
                    return Err(error);
                }
            };
            if let (Some(code), Some(record)) = (code_in(response.headers()), &mut record) {
                record.annotate(response.headers_mut(), code);
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
                    let code = code_in(trailers).unwrap_or(Code::Unknown);
                    record.annotate(trailers, code);
                    record.end(code);
                }
            }
            Some(Err(error)) => record.end(code_of_error(error)),
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
