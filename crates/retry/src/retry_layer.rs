//! The layer that tries a call again after a failure.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::{HeaderMap, Request, Response};
use opentelemetry::KeyValue;
use pin_project_lite::pin_project;
use seawall_error::code_name;
use seawall_propagation::Propagated;
use seawall_provenance::decided;
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::metrics::Tally;
use crate::replay::Original;
use crate::{Attempts, Decision, Ended, RetriedBody, RetryPolicy, Stop};

/// Tries calls again by the [`RetryPolicy`] of their method.
///
/// - Methods without a policy pass untouched.
/// - A call is committed to an attempt when its response headers come, unless they are the end of the
///   response, or when its request outgrows the replay buffer. From then on the attempt's end is the
///   call's.
/// - The call is one for whoever stands outside: dropping its future drops the attempt that is under
///   way, and there is no other.
/// - What must be known of the whole call (its end, its deadline) is a layer's outside of this one;
///   what belongs to an attempt (its `grpc-timeout`, which shrinks from one to the next, its trace
///   context, its endpoint) is a layer's inside.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Instant;
/// use http::HeaderMap;
/// use seawall_retry::{Allowance, AllowanceConfig, Idempotency, RetryConfig, RetryLayer, RetryPolicy};
///
/// # fn main() -> Result<(), seawall_retry::ConfigError> {
/// let peer = Arc::new(Allowance::try_new("user", &AllowanceConfig::default(), Instant::now())?);
/// let method = "/seawall.user.v1.Users/GetUser";
/// let policy = RetryPolicy::try_new(method, &RetryConfig::default(), Idempotency::NoSideEffects, peer)?;
/// let policy = Arc::new(policy);
/// let layer = RetryLayer::new(
///     move |path: &str| (path == method).then(|| policy.clone()),
///     |_: &HeaderMap| Some(std::time::Duration::from_secs(1)),
/// );
/// # drop(layer);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct RetryLayer<P, D> {
    policy_of: P,
    remaining: D,
}

impl<P, D> RetryLayer<P, D>
where
    P: Fn(&str) -> Option<Arc<RetryPolicy>>,
    D: Fn(&HeaderMap) -> Option<Duration>,
{
    /// `policy_of` is asked with the path of a call; `remaining` with the headers of one that can be
    /// retried: how long it is until the deadline of the whole call, if it has one.
    pub fn new(policy_of: P, remaining: D) -> Self {
        Self { policy_of, remaining }
    }
}

impl<S, P: Clone, D: Clone> Layer<S> for RetryLayer<P, D> {
    type Service = Retry<S, P, D>;

    fn layer(&self, inner: S) -> Self::Service {
        Retry { inner, policy_of: self.policy_of.clone(), remaining: self.remaining.clone() }
    }
}

/// The service of [`RetryLayer`].
#[derive(Debug, Clone)]
pub struct Retry<S, P, D> {
    inner: S,
    policy_of: P,
    remaining: D,
}

impl<S, P, D, ResBody> Service<Request<Body>> for Retry<S, P, D>
where
    S: Service<Request<Body>, Response = Response<ResBody>, Error = Status> + Clone,
    P: Fn(&str) -> Option<Arc<RetryPolicy>>,
    D: Fn(&HeaderMap) -> Option<Duration>,
{
    type Response = Response<RetriedBody<ResBody>>;
    type Error = Status;
    type Future = RetryFuture<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let policy = (self.policy_of)(request.uri().path()).filter(|policy| policy.covers(request.headers()));
        let Some(policy) = policy else {
            return RetryFuture { attempt: Some(self.inner.call(request)), delay: None, call: None };
        };
        let now = now();
        let deadline = (self.remaining)(request.headers()).and_then(|remaining| now.checked_add(remaining));
        let attempts = policy.begin(now, deadline, Propagated::current().is_retry);
        let original = Original::new(request, policy.terms.replay_bytes_max, policy.terms.allowance.clone());
        let (inner, tally) = (self.inner.clone(), Tally::default());
        let mut call = Box::new(Call { inner, original, reader: 0, policy, attempts, idle_since: None, tally });
        let request = call.next_request();
        RetryFuture { attempt: Some(self.inner.call(request)), delay: None, call: Some(call) }
    }
}

/// The clock that timers go by, so that a test or a simulation rules both.
pub(crate) fn now() -> Instant {
    seawall_clock::now().into_std()
}

pin_project! {
    /// The response of [`Retry`]: an attempt, the delay after it, the next attempt.
    #[derive(Debug)]
    pub struct RetryFuture<S: Service<Request<Body>>> {
        #[pin]
        attempt: Option<S::Future>,
        // Apart, so that a call that is not retried carries neither of them.
        delay: Option<Pin<Box<Sleep>>>,
        call: Option<Box<Call<S>>>,
    }
}

impl<S, ResBody> Future for RetryFuture<S>
where
    S: Service<Request<Body>, Response = Response<ResBody>, Error = Status>,
{
    type Output = Result<Response<RetriedBody<ResBody>>, Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let answer = match (this.attempt.as_mut().as_pin_mut(), &mut *this.call) {
                (Some(attempt), _) => ready!(attempt.poll(cx)),
                (None, Some(call)) => {
                    if let Some(delay) = this.delay {
                        ready!(delay.as_mut().poll(cx));
                        *this.delay = None;
                    }
                    match ready!(call.inner.poll_ready(cx)) {
                        Ok(()) => {
                            let request = call.next_request();
                            this.attempt.set(Some(call.inner.call(request)));
                            continue;
                        }
                        Err(status) => Err(status),
                    }
                }
                // It was polled after its end.
                (None, None) => return Poll::Pending,
            };
            this.attempt.set(None);
            let Some(call) = this.call else { return Poll::Ready(untold(answer)) };
            match call.after(answer) {
                ControlFlow::Break(answer) => {
                    *this.call = None;
                    return Poll::Ready(answer);
                }
                ControlFlow::Continue(after) => *this.delay = (!after.is_zero()).then(|| Box::pin(sleep(after))),
            }
        }
    }
}

fn untold<B>(answer: Result<Response<B>, Status>) -> Result<Response<RetriedBody<B>>, Status> {
    answer.map(|response| response.map(|body| RetriedBody::new(body, None)))
}

/// A call that may be retried.
#[derive(Debug)]
struct Call<S> {
    inner: S,
    original: Original,
    /// That of the attempt under way.
    reader: u32,
    policy: Arc<RetryPolicy>,
    attempts: Attempts,
    idle_since: Option<Instant>,
    tally: Tally,
}

impl<S> Call<S> {
    fn next_request(&mut self) -> Request<Body> {
        self.be_busy();
        let (reader, request) = self.original.request(self.attempts.made() - 1);
        self.reader = reader;
        request
    }

    fn be_busy(&mut self) {
        if let Some(since) = self.idle_since.take() {
            self.tally.delay += now().saturating_duration_since(since);
        }
    }

    /// Decides after an attempt: its answer, or how long until the next one.
    fn after<B>(
        &mut self,
        answer: Result<Response<B>, Status>,
    ) -> ControlFlow<Result<Response<RetriedBody<B>>, Status>, Duration> {
        let Some(ended) = Ended::of(&answer) else {
            self.original.commit(self.reader);
            let terms = self.policy.terms.clone();
            return ControlFlow::Break(answer.map(|response| response.map(|body| RetriedBody::new(body, Some(terms)))));
        };
        let now = now();
        let is_replayable = self.original.retire(self.reader);
        match self.policy.decide(&mut self.attempts, ended, is_replayable, now, fastrand::f64()) {
            Decision::Commit => ControlFlow::Break(untold(answer)),
            Decision::GiveUp(stop) => {
                self.note("retry.stopped", ended, now, Duration::ZERO, Some(stop));
                ControlFlow::Break(untold(answer))
            }
            Decision::Retry { after, is_transparent } => {
                let count = if is_transparent { &mut self.tally.transparent_retries } else { &mut self.tally.retries };
                *count += 1;
                self.note("retry.attempt", ended, now, after, None);
                self.idle_since = Some(now);
                ControlFlow::Continue(after)
            }
        }
    }

    fn note(&self, decision: &'static str, ended: Ended, now: Instant, after: Duration, stop: Option<Stop>) {
        let allowance = &self.policy.terms.allowance;
        let why = stop.map(|stop| KeyValue::new("why", stop.as_str()));
        let labels = [KeyValue::new("peer", allowance.peer().clone()), KeyValue::new("code", code_name(ended.code))];
        let labels: Vec<KeyValue> = labels.into_iter().chain(why).collect();
        decided(decision, &labels, || {
            vec![
                KeyValue::new("attempt", i64::from(self.attempts.made())),
                KeyValue::new("after_ms", after.as_secs_f64() * 1000.0),
                KeyValue::new("tokens", allowance.throttle().tokens()),
                KeyValue::new("budget", i64::try_from(allowance.budget().left(now)).unwrap_or(i64::MAX)),
            ]
        });
    }
}

impl<S> Drop for Call<S> {
    fn drop(&mut self) {
        self.be_busy();
        self.tally.record(&self.policy.terms.labels);
    }
}
