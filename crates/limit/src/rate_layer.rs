//! The layer of the rate limits: a call passes, waits for its turn, or is told when to come back.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::{HeaderMap, Request, Response};
use opentelemetry::KeyValue;
use pin_project_lite::pin_project;
use seawall_error::{Code, SEAWALL};
use seawall_headers::{PROPAGATED, may_have};
use seawall_propagation::PREVIOUS_ATTEMPTS;
use seawall_provenance::{Live, decided};
use tokio::time::Sleep;
use tonic::Status;
use tower::{Layer, Service};

use crate::{Ask, CallKey, Decision, RateLimiter, Refused, Wait};

/// Limits the rate of calls.
///
/// A call above the limit is refused with `RESOURCE_EXHAUSTED`, reason `RATE_LIMITED`, and is told
/// when to come back: in `grpc-retry-pushback-ms`, which gRPC's clients obey, and in
/// `google.rpc.RetryInfo`. A token is kept for it then. If none can be kept (they are promised for
/// longer than the caller has time), the push-back is -1, which ends its retries, and `RetryInfo`
/// has the next time at which one may be free.
///
/// A call with the header `grpc-previous-rpc-attempts` counts as one that comes back. A stream is one
/// call: its messages are not counted.
///
/// The limiter is found by the path of the call; `None` lets the call pass. That is how health checks
/// are exempt: whoever composes the stack answers `None` for `/grpc.health.v1.Health/`.
///
/// ```
/// use std::sync::Arc;
/// use seawall_limit::{RateConfig, RateLayer, RateLimiter};
///
/// # fn main() -> Result<(), seawall_limit::ConfigError> {
/// let now = std::time::Instant::now();
/// let limiter = Arc::new(RateLimiter::try_new("all methods", RateConfig::default(), None, now)?);
/// let layer = RateLayer::new(move |path: &str| {
///     (!path.starts_with("/grpc.health.v1.Health/")).then(|| Arc::clone(&limiter))
/// });
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct RateLayer<L, D = fn() -> Option<Instant>> {
    limiter: L,
    deadline: D,
}

impl<L: Fn(&str) -> Option<Arc<RateLimiter>>> RateLayer<L> {
    /// `limiter` is asked with the path of each call.
    pub fn new(limiter: L) -> Self {
        Self { limiter, deadline: || None }
    }
}

impl<L, D> RateLayer<L, D> {
    /// `deadline` is asked, within each call, for the time until which its caller waits. A call that
    /// would pass only after that is refused at once, and nothing is promised for later. In a stack
    /// that enforces deadlines it is `|| Deadline::current().map(|deadline| deadline.instant().into_std())`.
    pub fn with_deadline<F: Fn() -> Option<Instant>>(self, deadline: F) -> RateLayer<L, F> {
        RateLayer { limiter: self.limiter, deadline }
    }
}

impl<S, L: Clone, D: Clone> Layer<S> for RateLayer<L, D> {
    type Service = Rate<S, L, D>;

    fn layer(&self, inner: S) -> Self::Service {
        Rate { inner, layer: self.clone() }
    }
}

/// The service of [`RateLayer`].
#[derive(Debug, Clone)]
pub struct Rate<S, L, D = fn() -> Option<Instant>> {
    inner: S,
    layer: RateLayer<L, D>,
}

impl<S, L, D, ReqBody, ResBody> Service<Request<ReqBody>> for Rate<S, L, D>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    L: Fn(&str) -> Option<Arc<RateLimiter>>,
    D: Fn() -> Option<Instant>,
    ResBody: Default,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = RateFuture<S, Request<ReqBody>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let Some(limiter) = (self.layer.limiter)(request.uri().path()) else {
            return RateFuture::running(self.inner.call(request));
        };
        let now = now();
        let deadline = (self.layer.deadline)();
        let ask = Ask {
            is_returning: may_have(PROPAGATED) && is_returning(request.headers()),
            remaining: deadline.map(|deadline| deadline.saturating_duration_since(now)),
        };
        let key = limiter.key(&request);
        if !limiter.is_shared() {
            match limiter.try_take(key, now, ask) {
                Decision::Pass => return RateFuture::running(self.inner.call(request)),
                Decision::Refused(refused) => return RateFuture::refused(&limiter, refused),
                Decision::Wait(wait) => {
                    let held = self.held(request, limiter, key, deadline);
                    return RateFuture { state: State::waiting(held, wait) };
                }
            }
        }
        let answer = asked(&limiter, key, ask);
        RateFuture { state: State::Asking { answer, held: Some(self.held(request, limiter, key, deadline)) } }
    }
}

impl<S: Clone, L, D> Rate<S, L, D> {
    /// The call, to be made later by the service that is ready for it.
    fn held<R>(
        &mut self,
        request: R,
        limiter: Arc<RateLimiter>,
        key: CallKey,
        deadline: Option<Instant>,
    ) -> Box<Held<S, R>> {
        let next = self.inner.clone();
        let service = std::mem::replace(&mut self.inner, next);
        Box::new(Held { service, request, limiter, key, deadline })
    }
}

fn now() -> Instant {
    seawall_clock::now().into_std()
}

fn is_returning(headers: &HeaderMap) -> bool {
    let attempts = headers.get(PREVIOUS_ATTEMPTS).and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    attempts.is_some_and(|attempts| attempts > 0)
}

/// A call that is not made yet.
#[derive(Debug)]
struct Held<S, R> {
    service: S,
    request: R,
    limiter: Arc<RateLimiter>,
    key: CallKey,
    deadline: Option<Instant>,
}

impl<S, R> Held<S, R> {
    fn returning(&self) -> Ask {
        let remaining = self.deadline.map(|deadline| deadline.saturating_duration_since(now()));
        Ask { is_returning: true, remaining }
    }
}

/// Gives its place back when it is dropped.
#[derive(Debug)]
struct Place {
    limiter: Arc<RateLimiter>,
    key: CallKey,
    wait: Option<Wait>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(wait) = self.wait.take() {
            self.limiter.give_back(self.key, wait);
        }
    }
}

/// The store's answer. Boxed, because a future of its client has no name; a message to another
/// machine costs more.
type Answer = Pin<Box<dyn Future<Output = Decision> + Send>>;

fn asked(limiter: &Arc<RateLimiter>, key: CallKey, ask: Ask) -> Answer {
    let limiter = Arc::clone(limiter);
    Box::pin(async move { limiter.take(key, now(), ask).await })
}

pin_project! {
    /// The response of [`Rate`]. Dropping it drops the call, and gives back its place in the queue.
    pub struct RateFuture<S, R>
    where
        S: Service<R>,
    {
        #[pin]
        state: State<S, R, S::Future>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, R, F> {
        Refused { status: Option<Status> },
        Running { #[pin] call: F },
        // Both have on the heap what they have, so that a call that passes at once is not as large.
        Waiting { turn: Pin<Box<Sleep>>, place: Place, held: Option<Box<Held<S, R>>> },
        Asking { answer: Answer, held: Option<Box<Held<S, R>>> },
    }
}

impl<S, R, F> State<S, R, F> {
    fn waiting(held: Box<Held<S, R>>, wait: Wait) -> Self {
        let place = Place { limiter: Arc::clone(&held.limiter), key: held.key, wait: Some(wait) };
        Self::Waiting { turn: Box::pin(tokio::time::sleep(wait.after)), place, held: Some(held) }
    }
}

impl<S: Service<R>, R> RateFuture<S, R> {
    fn running(call: S::Future) -> Self {
        Self { state: State::Running { call } }
    }

    fn refused(limiter: &RateLimiter, refused: Refused) -> Self {
        Self { state: State::Refused { status: Some(refusal(limiter, refused)) } }
    }
}

impl<S: Service<R>, R> fmt::Debug for RateFuture<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Refused { .. } => "refused",
            State::Running { .. } => "running",
            State::Waiting { .. } => "waiting",
            State::Asking { .. } => "asking",
        };
        f.debug_struct("RateFuture").field("state", &state).finish_non_exhaustive()
    }
}

impl<S, R, ResBody> Future for RateFuture<S, R>
where
    S: Service<R, Response = Response<ResBody>>,
    ResBody: Default,
{
    type Output = Result<Response<ResBody>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let (decision, held) = match state.as_mut().project() {
                StateProj::Running { call } => return call.poll(cx),
                StateProj::Refused { status } => {
                    let status = status.take().unwrap_or_else(|| Status::cancelled("polled after its end"));
                    return Poll::Ready(Ok(status.into_http()));
                }
                StateProj::Waiting { turn, place, held } => {
                    ready!(turn.as_mut().poll(cx));
                    // It is taken now, or it is too late to give it back.
                    place.wait = None;
                    let Some(held) = held.take() else { return Poll::Pending };
                    if held.limiter.is_shared() {
                        let answer = asked(&held.limiter, held.key, held.returning());
                        state.set(State::Asking { answer, held: Some(held) });
                        continue;
                    }
                    (held.limiter.try_take(held.key, now(), held.returning()), held)
                }
                StateProj::Asking { answer, held } => {
                    let decision = ready!(answer.as_mut().poll(cx));
                    let Some(held) = held.take() else { return Poll::Pending };
                    (decision, held)
                }
            };
            state.set(match decision {
                Decision::Pass => {
                    let Held { mut service, request, .. } = *held;
                    State::Running { call: service.call(request) }
                }
                Decision::Wait(wait) => State::waiting(held, wait),
                Decision::Refused(refused) => State::Refused { status: Some(refusal(&held.limiter, refused)) },
            });
        }
    }
}

fn refusal(limiter: &RateLimiter, refused: Refused) -> Status {
    let name = KeyValue::new("limiter", Arc::clone(limiter.name()));
    decided("limit.rate_limited", &[name], || {
        vec![
            KeyValue::new("rate_per_second", limiter.config().rate_per_second),
            KeyValue::new("burst", i64::from(limiter.config().burst)),
            KeyValue::new("retry_after_ms", milliseconds(refused.retry_after)),
            KeyValue::new("is_promised", refused.is_promised),
        ]
    });
    let error = SEAWALL
        .error(Code::ResourceExhausted, "RATE_LIMITED", "calls come faster than their limit allows")
        .with_retry_after(refused.retry_after);
    Status::from(if refused.is_promised { error } else { error.without_retry() })
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Live for RateLimiter {
    fn state(&self) -> serde_json::Value {
        serde_json::to_value(self.snapshot(now())).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
