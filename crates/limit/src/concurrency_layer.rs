//! The layer that admits a call, lets it wait, or refuses it.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use http_body::Body;
use opentelemetry::KeyValue;
use pin_project_lite::pin_project;
use seawall_classify::{End, ObservedBody, ObservedFuture, Observer};
use seawall_clock::now;
use seawall_error::Error;
use seawall_propagation::Propagated;
use seawall_provenance::Live;
use serde_json::Value;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Code;
use tower::{Layer, Service};

use crate::concurrency::{ConcurrencyLimiter, Permit, Shed, Verdict, Waiter};

/// Keeps the calls that are served at a time under the limit of a [`ConcurrencyLimiter`].
///
/// - A call of a path without a limiter passes, such as one of the health service.
/// - A unary call holds its place until its trailers. That it ends with `OK` teaches its latency; that
///   it runs into its deadline, or ends with `DEADLINE_EXCEEDED` or `RESOURCE_EXHAUSTED`, teaches
///   overload; any other end teaches nothing, since a failure is quick or slow for reasons of its own.
/// - A streaming call holds one of the places for streams until its end, and teaches nothing: long
///   streams leave the limit to the unary calls.
/// - A unary call over the limit waits if it may, see [`ConcurrencyLimiter::acquire`]. Dropping it
///   leaves the queue.
/// - A call that is refused is answered `UNAVAILABLE`, reason `OVERLOADED`, with the time to come back.
///
/// The criticality is that of [`Propagated::current`].
///
/// ```
/// use std::sync::Arc;
/// use seawall_limit::{ConcurrencyConfig, ConcurrencyLayer, ConcurrencyLimiter};
///
/// let limiter = Arc::new(ConcurrencyLimiter::try_new(ConcurrencyConfig::default())?);
/// let limiters = move |path: &str| (!path.starts_with("/grpc.health.")).then(|| Arc::clone(&limiter));
/// let layer = ConcurrencyLayer::new(limiters, |path: &str| path != "/shop.v1.Orders/Watch");
/// # Ok::<(), seawall_limit::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ConcurrencyLayer<L, U> {
    limiters: L,
    is_unary: U,
    deadline: fn() -> Option<Instant>,
}

impl<L, U> ConcurrencyLayer<L, U>
where
    L: Fn(&str) -> Option<Arc<ConcurrencyLimiter>>,
    U: Fn(&str) -> bool,
{
    /// `limiters` is asked with the path of a call for its limiter, and `is_unary` whether neither
    /// side of it streams.
    pub fn new(limiters: L, is_unary: U) -> Self {
        Self { limiters, is_unary, deadline: || None }
    }

    /// Where a call finds its deadline, beyond which it does not wait. Without it, each may wait for as
    /// long as the limiter's settings allow.
    #[must_use]
    pub fn with_deadline(mut self, deadline: fn() -> Option<Instant>) -> Self {
        self.deadline = deadline;
        self
    }
}

impl<S, L: Clone, U: Clone> Layer<S> for ConcurrencyLayer<L, U> {
    type Service = Concurrency<S, L, U>;

    fn layer(&self, inner: S) -> Self::Service {
        Concurrency { inner, layer: self.clone() }
    }
}

/// The service of [`ConcurrencyLayer`].
#[derive(Debug, Clone)]
pub struct Concurrency<S, L, U> {
    inner: S,
    layer: ConcurrencyLayer<L, U>,
}

impl<S, L, U, ReqBody, ResBody> Service<Request<ReqBody>> for Concurrency<S, L, U>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>, Error: 'static> + Clone,
    L: Fn(&str) -> Option<Arc<ConcurrencyLimiter>>,
    U: Fn(&str) -> bool,
    ResBody: Body,
{
    type Response = Response<ObservedBody<ResBody, ConcurrencyTicket>>;
    type Error = S::Error;
    type Future = ConcurrencyFuture<S, ReqBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let path = request.uri().path();
        let Some(limiter) = (self.layer.limiters)(path) else {
            let ticket = ConcurrencyTicket { permit: None, deadline: None };
            return ConcurrencyFuture::running(self.inner.call(request), ticket);
        };
        let (now, criticality) = (now().into_std(), Propagated::current().criticality());
        let deadline = (self.layer.deadline)();
        let verdict = if (self.layer.is_unary)(path) {
            limiter.acquire(now, criticality, deadline.map(Instant::into_std))
        } else {
            limiter.try_acquire_stream(now, criticality).map_or_else(Verdict::Refused, Verdict::Admitted)
        };
        match verdict {
            Verdict::Admitted(permit) => {
                let ticket = ConcurrencyTicket { permit: Some(permit), deadline };
                ConcurrencyFuture::running(self.inner.call(request), ticket)
            }
            Verdict::Waiting(waiter) => {
                // The service that is ready goes with the call; the next call readies its copy.
                let copy = self.inner.clone();
                let inner = mem::replace(&mut self.inner, copy);
                let timer = Box::pin(sleep_until(waiter.give_up_at().into()));
                let queued = Box::new(Queued { waiter, timer, inner, request, deadline });
                ConcurrencyFuture { state: State::Waiting { queued: Some(queued) } }
            }
            Verdict::Refused(shed) => {
                ConcurrencyFuture { state: State::Running { call: ObservedFuture::refused(refusal(&shed)) } }
            }
        }
    }
}

/// The error that answers a refused call, which is noted.
fn refusal(shed: &Shed) -> Error {
    seawall_provenance::decided("limit.shed", &[KeyValue::new("criticality", shed.criticality.as_str())], || {
        vec![
            KeyValue::new("limit", i64::from(shed.limit)),
            KeyValue::new("in_flight", i64::from(shed.in_flight)),
            KeyValue::new("waiting", i64::from(shed.waiting)),
            KeyValue::new("retry_after_ms", shed.retry_after.as_millis() as i64),
        ]
    });
    Error::from(*shed)
}

/// Holds a call's place until its end.
#[derive(Debug)]
pub struct ConcurrencyTicket {
    permit: Option<Permit>,
    deadline: Option<Instant>,
}

impl Observer for ConcurrencyTicket {
    fn end(self, end: End) {
        let Some(permit) = self.permit else { return };
        let now = now();
        match end {
            End::Code(Code::Ok) => permit.served(now.into_std()),
            End::Code(Code::DeadlineExceeded | Code::ResourceExhausted) => permit.overloaded(now.into_std()),
            End::Dropped if self.deadline.is_some_and(|deadline| deadline <= now) => {
                permit.overloaded(now.into_std());
            }
            End::Code(_) | End::Refused(_) | End::Dropped => drop(permit),
        }
    }
}

/// A call in the queue. It is on the heap, so that the others are not as large.
struct Queued<S, ReqBody> {
    waiter: Waiter,
    timer: Pin<Box<Sleep>>,
    inner: S,
    request: Request<ReqBody>,
    deadline: Option<Instant>,
}

pin_project! {
    /// The response of [`Concurrency`]. Dropping it drops the call inside and gives its place back.
    pub struct ConcurrencyFuture<S, ReqBody>
    where
        S: Service<Request<ReqBody>>,
    {
        #[pin]
        state: State<S, ReqBody>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, ReqBody>
    where
        S: Service<Request<ReqBody>>,
    {
        Running { #[pin] call: ObservedFuture<S::Future, ConcurrencyTicket> },
        Waiting { queued: Option<Box<Queued<S, ReqBody>>> },
    }
}

impl<S: Service<Request<ReqBody>>, ReqBody> ConcurrencyFuture<S, ReqBody> {
    fn running(call: S::Future, ticket: ConcurrencyTicket) -> Self {
        Self { state: State::Running { call: ObservedFuture::new(call, ticket) } }
    }
}

impl<S, ReqBody, ResBody> Future for ConcurrencyFuture<S, ReqBody>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>, Error: 'static>,
    ResBody: Body,
{
    type Output = Result<Response<ObservedBody<ResBody, ConcurrencyTicket>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let call = match state.as_mut().project() {
                StateProj::Running { call } => return call.poll(cx),
                StateProj::Waiting { queued: place } => {
                    let Some(queued) = place.as_deref_mut() else { return Poll::Pending };
                    let turn = ready!(queued.poll_turn(cx));
                    let Some(queued) = place.take() else { return Poll::Pending };
                    queued.begin(turn)
                }
            };
            state.set(State::Running { call });
        }
    }
}

impl<S: Service<Request<ReqBody>>, ReqBody> Queued<S, ReqBody> {
    /// Ready with the permit, or without one when the wait is over.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Option<Permit>> {
        if let Poll::Ready(permit) = self.waiter.poll_permit(cx, Instant::now().into_std()) {
            return Poll::Ready(Some(permit));
        }
        self.timer.as_mut().poll(cx).map(|()| None)
    }

    fn begin(mut self, permit: Option<Permit>) -> ObservedFuture<S::Future, ConcurrencyTicket> {
        let permit = match permit {
            Some(permit) => Ok(permit),
            None => self.waiter.give_up(Instant::now().into_std()),
        };
        match permit {
            Ok(permit) => {
                let ticket = ConcurrencyTicket { permit: Some(permit), deadline: self.deadline };
                ObservedFuture::new(self.inner.call(self.request), ticket)
            }
            Err(shed) => ObservedFuture::refused(refusal(&shed)),
        }
    }
}

impl Live for ConcurrencyLimiter {
    fn state(&self) -> Value {
        serde_json::to_value(self.snapshot(Instant::now().into_std())).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
