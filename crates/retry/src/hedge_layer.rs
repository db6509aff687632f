//! The layer that sends a call a second time when it takes long.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::{HeaderMap, Request, Response};
use opentelemetry::KeyValue;
use pin_project_lite::pin_project;
use seawall_propagation::Propagated;
use seawall_provenance::decided;
use tokio::time::{Sleep, sleep_until};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::metrics::Tally;
use crate::replay::Original;
use crate::retry_layer::now;
use crate::{Ended, HedgeDecision, HedgePolicy, Hedges, RetriedBody, Stop};

/// Sends calls again by the [`HedgePolicy`] of their method, while they are under way.
///
/// A method is either retried or hedged: give it a policy in one of the two layers. Where the layer
/// stands, and what passes untouched, is as for [`RetryLayer`](crate::RetryLayer). The first
/// response whose headers come, or whose code is fatal, is the call's; the other attempts are
/// dropped, which resets their streams.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Instant;
/// use http::HeaderMap;
/// use seawall_retry::{Allowance, AllowanceConfig, HedgeConfig, HedgeLayer, HedgePolicy, Idempotency};
///
/// # fn main() -> Result<(), seawall_retry::ConfigError> {
/// let now = Instant::now();
/// let peer = Arc::new(Allowance::try_new("user", &AllowanceConfig::default(), now)?);
/// let method = "/seawall.user.v1.Users/GetUser";
/// let policy = HedgePolicy::try_new(method, &HedgeConfig::default(), Idempotency::NoSideEffects, peer, now)?;
/// let policy = Arc::new(policy);
/// let layer = HedgeLayer::new(move |path: &str| (path == method).then(|| policy.clone()), |_: &HeaderMap| None);
/// # drop(layer);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct HedgeLayer<P, D> {
    policy_of: P,
    remaining: D,
}

impl<P, D> HedgeLayer<P, D>
where
    P: Fn(&str) -> Option<Arc<HedgePolicy>>,
    D: Fn(&HeaderMap) -> Option<Duration>,
{
    /// `policy_of` is asked with the path of a call; `remaining` with the headers of one that can be
    /// hedged: how long it is until the deadline of the whole call, if it has one.
    pub fn new(policy_of: P, remaining: D) -> Self {
        Self { policy_of, remaining }
    }
}

impl<S, P: Clone, D: Clone> Layer<S> for HedgeLayer<P, D> {
    type Service = Hedge<S, P, D>;

    fn layer(&self, inner: S) -> Self::Service {
        Hedge { inner, policy_of: self.policy_of.clone(), remaining: self.remaining.clone() }
    }
}

/// The service of [`HedgeLayer`].
#[derive(Debug, Clone)]
pub struct Hedge<S, P, D> {
    inner: S,
    policy_of: P,
    remaining: D,
}

impl<S, P, D, ResBody> Service<Request<Body>> for Hedge<S, P, D>
where
    S: Service<Request<Body>, Response = Response<ResBody>, Error = Status> + Clone,
    P: Fn(&str) -> Option<Arc<HedgePolicy>>,
    D: Fn(&HeaderMap) -> Option<Duration>,
{
    type Response = Response<RetriedBody<ResBody>>;
    type Error = Status;
    type Future = HedgeFuture<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let policy = (self.policy_of)(request.uri().path()).filter(|policy| policy.covers(request.headers()));
        let Some(policy) = policy else {
            return HedgeFuture { state: State::Untouched { call: self.inner.call(request) } };
        };
        let now = now();
        let deadline = (self.remaining)(request.headers()).and_then(|remaining| now.checked_add(remaining));
        let hedges = policy.begin(now, deadline, Propagated::current().is_retry);
        let mut call = Box::new(Call {
            inner: self.inner.clone(),
            original: Original::new(request, policy.terms.replay_bytes_max, policy.terms.allowance.clone()),
            hedges,
            policy,
            attempts: Vec::with_capacity(2),
            waiting: Vec::new(),
            timer: None,
            last: None,
            began: now,
            idle_since: None,
            tally: Tally::default(),
        });
        let (reader, request) = call.request(1);
        call.attempts.push(Attempt { number: 1, reader, future: Box::pin(self.inner.call(request)) });
        HedgeFuture { state: State::Hedged { call } }
    }
}

pin_project! {
    /// The response of [`Hedge`]: the attempts that are under way, and the time of the next one.
    pub struct HedgeFuture<S: Service<Request<Body>>> {
        #[pin]
        state: State<S>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S: Service<Request<Body>>> {
        Untouched { #[pin] call: S::Future },
        Hedged { call: Box<Call<S>> },
    }
}

impl<S, ResBody> Future for HedgeFuture<S>
where
    S: Service<Request<Body>, Response = Response<ResBody>, Error = Status>,
{
    type Output = Answer<RetriedBody<ResBody>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Untouched { call } => call.poll(cx).map(untold),
            StateProj::Hedged { call } => call.poll(cx),
        }
    }
}

type Answer<B> = Result<Response<B>, Status>;

fn untold<B>(answer: Answer<B>) -> Answer<RetriedBody<B>> {
    answer.map(|response| response.map(|body| RetriedBody::new(body, None)))
}

/// A call that may be hedged.
struct Call<S: Service<Request<Body>>> {
    inner: S,
    original: Original,
    policy: Arc<HedgePolicy>,
    hedges: Hedges,
    /// Bounded by the policy's five. In boxes of their own, because one that ends leaves its place
    /// and futures must not be moved.
    attempts: Vec<Attempt<S::Future>>,
    /// The numbers of the attempts that are sent as soon as the service is ready.
    waiting: Vec<u32>,
    timer: Option<Pin<Box<Sleep>>>,
    /// The last failure, which is the answer if all attempts fail.
    last: Option<Result<S::Response, S::Error>>,
    began: Instant,
    idle_since: Option<Instant>,
    tally: Tally,
}

struct Attempt<F> {
    number: u32,
    reader: u32,
    future: Pin<Box<F>>,
}

impl<S, B> Call<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Status>,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Answer<RetriedBody<B>>> {
        loop {
            self.obey_owner(cx);
            if let Some((attempt, answer)) = self.poll_attempts(cx) {
                if self.original.poll_owner(cx).is_some_and(|owner| owner != attempt.reader) {
                    // It has failed because it lost the request to another one, which goes on.
                    continue;
                }
                match self.after(&attempt, answer) {
                    ControlFlow::Break(answer) => return Poll::Ready(answer),
                    ControlFlow::Continue(()) => continue,
                }
            }
            let is_over = self.attempts.is_empty() && self.waiting.is_empty() && self.hedges.next_at().is_none();
            if is_over && let Some(answer) = self.last.take() {
                return Poll::Ready(untold(answer));
            }
            if self.waiting.is_empty() {
                ready!(self.poll_timer(cx));
                self.hedge();
                continue;
            }
            let ready = ready!(self.inner.poll_ready(cx));
            let Some(number) = self.waiting.pop() else { continue };
            match ready {
                Ok(()) => {
                    let (reader, request) = self.request(number);
                    let future = Box::pin(self.inner.call(request));
                    self.attempts.push(Attempt { number, reader, future });
                }
                Err(status) => {
                    let (reader, _) = self.request(number);
                    if let ControlFlow::Break(answer) = self.decide(number, reader, Err(status)) {
                        return Poll::Ready(answer);
                    }
                }
            }
        }
    }

    /// A request that did not fit into the buffer belongs to one attempt; the others are dropped.
    fn obey_owner(&mut self, cx: &Context<'_>) {
        if let Some(owner) = self.original.poll_owner(cx) {
            self.attempts.retain(|attempt| attempt.reader == owner);
            self.waiting.clear();
            self.hedges.stop(Stop::Buffer, self.attempts.len() as u32);
        }
    }

    fn poll_attempts(&mut self, cx: &mut Context<'_>) -> Option<(Attempt<S::Future>, Answer<B>)> {
        let mut polled = self.attempts.iter_mut().enumerate();
        let (index, answer) = polled.find_map(|(index, attempt)| match attempt.future.as_mut().poll(cx) {
            Poll::Ready(answer) => Some((index, answer)),
            Poll::Pending => None,
        })?;
        Some((self.attempts.remove(index), answer))
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.hedges.next_at() else { return Poll::Pending };
        let at = tokio::time::Instant::from_std(at);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        timer.as_mut().poll(cx)
    }

    /// The time of the next hedge has come.
    fn hedge(&mut self) {
        let now = now();
        match self.policy.send(&mut self.hedges, now) {
            Ok(()) => {
                self.tally.hedges += 1;
                self.waiting.push(self.hedges.made());
                self.note("hedge.attempt", None, now, self.hedges.made());
            }
            Err(stop) => self.note("hedge.stopped", Some(stop), now, self.hedges.made()),
        }
    }

    fn request(&mut self, number: u32) -> (u32, Request<Body>) {
        self.be_busy();
        self.original.request(number - 1)
    }

    fn after(&mut self, attempt: &Attempt<S::Future>, answer: Answer<B>) -> ControlFlow<Answer<RetriedBody<B>>> {
        if Ended::of(&answer).is_some() {
            return self.decide(attempt.number, attempt.reader, answer);
        }
        if !self.original.commit(attempt.reader) {
            // The request outgrew the buffer meanwhile and is another attempt's; that one goes on.
            return ControlFlow::Continue(());
        }
        self.won(attempt.number);
        let terms = self.policy.terms.clone();
        ControlFlow::Break(answer.map(|response| response.map(|body| RetriedBody::new(body, Some(terms)))))
    }

    fn decide(&mut self, number: u32, reader: u32, answer: Answer<B>) -> ControlFlow<Answer<RetriedBody<B>>> {
        let Some(ended) = Ended::of(&answer) else { return ControlFlow::Continue(()) };
        let now = now();
        let is_replayable = self.original.retire(reader);
        match self.policy.ended(&mut self.hedges, ended, is_replayable, now) {
            HedgeDecision::Commit => {
                if ended.code == tonic::Code::Ok {
                    self.won(number);
                }
                return ControlFlow::Break(untold(answer));
            }
            HedgeDecision::GiveUp(stop) => {
                self.note("hedge.stopped", Some(stop), now, number);
                return ControlFlow::Break(untold(answer));
            }
            HedgeDecision::Resend => {
                self.tally.transparent_retries += 1;
                self.waiting.push(number);
            }
            HedgeDecision::Wait => self.last = Some(answer),
        }
        if self.attempts.is_empty() {
            self.idle_since = Some(now);
        }
        ControlFlow::Continue(())
    }

    /// An attempt has the answer. What the first one took is observed, or how long it had taken
    /// until it was given up: if only the winners counted, the percentile would fall further and
    /// further. If it failed, it says nothing about the time.
    fn won(&self, number: u32) {
        let now = now();
        if number == 1 || self.attempts.iter().any(|attempt| attempt.number == 1) {
            self.policy.observe(now, now.saturating_duration_since(self.began));
        }
        if number > 1 {
            self.note("hedge.won", None, now, number);
        }
    }

    fn note(&self, decision: &'static str, stop: Option<Stop>, now: Instant, attempt: u32) {
        let allowance = &self.policy.terms.allowance;
        let why = stop.map(|stop| KeyValue::new("why", stop.as_str()));
        let peer = KeyValue::new("peer", allowance.peer().clone());
        let labels: Vec<KeyValue> = [peer].into_iter().chain(why).collect();
        decided(decision, &labels, || {
            vec![
                KeyValue::new("attempt", i64::from(attempt)),
                KeyValue::new("after_ms", now.saturating_duration_since(self.began).as_secs_f64() * 1000.0),
                KeyValue::new("delay_ms", self.policy.delay().as_secs_f64() * 1000.0),
                KeyValue::new("tokens", allowance.throttle().tokens()),
                KeyValue::new("budget", i64::try_from(allowance.budget().left(now)).unwrap_or(i64::MAX)),
            ]
        });
    }
}

impl<S: Service<Request<Body>>> Call<S> {
    fn be_busy(&mut self) {
        if let Some(since) = self.idle_since.take() {
            self.tally.delay += now().saturating_duration_since(since);
        }
    }
}

impl<S: Service<Request<Body>>> Drop for Call<S> {
    fn drop(&mut self) {
        self.be_busy();
        self.tally.record(&self.policy.terms.labels);
    }
}
