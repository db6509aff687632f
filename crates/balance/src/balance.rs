//! The service: each call to one of the endpoints that discovery knows.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use opentelemetry::KeyValue;
use pin_project_lite::pin_project;
use seawall_classify::{Classifier, ObservedBody, ObservedFuture};
use seawall_error::{Error, SEAWALL};
use seawall_propagation::PREVIOUS_ATTEMPTS;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::task::AbortHandle;
use tonic::Code;
use tower::Service;
use tower::util::Oneshot;

use crate::config::Pick;
use crate::member::{Judge, Member, Set, Ticket, now};

/// What can be balanced over: a service for one endpoint, whose clones share its connection.
pub trait Endpoint: Clone {
    /// Whether a call of this method may go there: it is connected or may be dialled, and no breaker
    /// is open. Asked several times for a call, so it should take no lock and not allocate; and with
    /// an empty path for the live state.
    fn is_available(&self, path: &str) -> bool;
}

/// A service that is always available, as far as it knows: for endpoints without a breaker, or a
/// connection that does not say whether it is there.
#[derive(Debug, Clone, Copy)]
pub struct Plain<S>(pub S);

impl<S: Clone> Endpoint for Plain<S> {
    fn is_available(&self, _: &str) -> bool {
        true
    }
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for Plain<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        self.0.call(request)
    }
}

/// Where a caller's time stands in a request: given to [`Builder::timeout_of`](crate::Builder::timeout_of).
pub type TimeoutOf = fn(&HeaderMap) -> Option<Duration>;

pub(crate) struct Shared<S> {
    pub(crate) target: &'static str,
    pub(crate) pick: Pick,
    pub(crate) force_pick_after: Duration,
    pub(crate) timeout_of: TimeoutOf,
    /// The endpoints. Swapped as a whole, so that picking takes no lock. `None` before the first.
    pub(crate) set: ArcSwapOption<Set<S>>,
    pub(crate) first: Arc<Notify>,
    pub(crate) judge: Arc<Judge>,
}

impl<S> fmt::Debug for Shared<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("target", &self.target).field("pick", &self.pick).finish_non_exhaustive()
    }
}

/// Ends the task with the last clone of the balancer and the last call that waits for endpoints.
#[derive(Debug)]
pub(crate) struct Owner<S> {
    pub(crate) shared: Arc<Shared<S>>,
    pub(crate) task: AbortHandle,
}

impl<S> Drop for Owner<S> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Gives each call to one endpoint. Made by a [`Builder`](crate::Builder). Clones share everything.
///
/// - Always ready; the endpoint is picked in `call`, without a lock or an allocation (but for one of
///   a few hundred bytes the first time that a thread picks).
/// - Before the first set of endpoints has come, a call waits: a deadline outside bounds that. An
///   empty set answers `UNAVAILABLE` (`NO_ENDPOINTS`) at once.
/// - If no endpoint is available, one is called nevertheless, and answers why not.
/// - A call keeps its endpoint to its end, even if the set changes.
/// - Only failures as the [`Classifier`] has them count against an endpoint, and calls that are
///   dropped after their deadline before any answer.
/// - A call that is dropped before any answer, as the loser of a hedge is, tells at least that the
///   endpoint takes as long as that; one that a layer inside refuses, such as a breaker, tells nothing.
pub struct Balance<S, C> {
    pub(crate) owner: Arc<Owner<S>>,
    pub(crate) classifier: C,
}

impl<S, C: Clone> Clone for Balance<S, C> {
    fn clone(&self) -> Self {
        Self { owner: Arc::clone(&self.owner), classifier: self.classifier.clone() }
    }
}

impl<S, C> fmt::Debug for Balance<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balance").field("shared", &self.owner.shared).finish_non_exhaustive()
    }
}

impl<S, C, ReqBody, ResBody> Service<Request<ReqBody>> for Balance<S, C>
where
    S: Endpoint + Service<Request<ReqBody>, Response = Response<ResBody>, Error: 'static>,
    C: Fn(&str) -> Classifier,
    ResBody: Body,
{
    type Response = Response<ObservedBody<ResBody, Ticket>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, ReqBody>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let shared = &self.owner.shared;
        let rules = Rules {
            classifier: (self.classifier)(request.uri().path()),
            deadline: (shared.timeout_of)(request.headers()).and_then(|timeout| now().checked_add(timeout)),
        };
        if let Some(set) = &*shared.set.load() {
            return ResponseFuture { state: State::Running { call: shared.start(set, request, rules) } };
        }
        // Before looking again, so that a set that comes now is not missed.
        let first = Arc::clone(&shared.first).notified_owned();
        let state = match &*shared.set.load() {
            Some(set) => State::Running { call: shared.start(set, request, rules) },
            None => State::Waiting { first, waiting: Some((Arc::clone(&self.owner), request, rules)) },
        };
        ResponseFuture { state }
    }
}

/// What a call is judged by.
#[derive(Debug, Clone, Copy)]
struct Rules {
    classifier: Classifier,
    deadline: Option<Instant>,
}

type Running<S, B> = ObservedFuture<Oneshot<S, Request<B>>, Ticket>;

impl<S: Endpoint> Shared<S> {
    fn start<B>(&self, set: &Set<S>, request: Request<B>, rules: Rules) -> Running<S, B>
    where
        S: Service<Request<B>>,
    {
        let now = now();
        let Some(member) = self.picked(set, &request, now) else {
            return ObservedFuture::refused(no_endpoints(self.target));
        };
        let (vitals, judge) = (Arc::clone(&member.vitals), Arc::clone(&self.judge));
        let ticket = Ticket::new(vitals, judge, rules.classifier, rules.deadline, now);
        ObservedFuture::new(Oneshot::new(member.service.clone(), request), ticket)
    }

    fn picked<'a, B>(&self, set: &'a Set<S>, request: &Request<B>, now: Instant) -> Option<&'a Member<S>> {
        let path = request.uri().path();
        let by_key = match &self.pick {
            Pick::LeastLoaded => None,
            Pick::Hash { header, load_factor } => {
                let key = request.headers().get(header);
                key.and_then(|key| set.by_key(path, key.as_bytes(), *load_factor, previous(request.headers())))
            }
        };
        by_key.or_else(|| set.least_loaded(now, path, self.force_pick_after))
    }
}

/// How many attempts of the call went before this one.
fn previous(headers: &HeaderMap) -> usize {
    let previous = headers.get(PREVIOUS_ATTEMPTS).and_then(|value| value.to_str().ok()?.parse().ok());
    previous.unwrap_or(0)
}

pin_project! {
    /// The response of [`Balance`]. Dropping it drops the call to the endpoint.
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B>
    where
        S: Service<Request<B>>,
    {
        // For the first set.
        Waiting {
            #[pin] first: OwnedNotified,
            waiting: Option<(Arc<Owner<S>>, Request<B>, Rules)>,
        },
        Running { #[pin] call: Running<S, B> },
    }
}

impl<S, ReqBody, ResBody> Future for ResponseFuture<S, ReqBody>
where
    S: Endpoint + Service<Request<ReqBody>, Response = Response<ResBody>, Error: 'static>,
    ResBody: Body,
{
    type Output = Result<Response<ObservedBody<ResBody, Ticket>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        if let StateProj::Waiting { first, waiting } = state.as_mut().project() {
            ready!(first.poll(cx));
            let call = waiting.take().map(|(owner, request, rules)| match &*owner.shared.set.load() {
                Some(set) => owner.shared.start(set, request, rules),
                None => ObservedFuture::refused(no_endpoints(owner.shared.target)),
            });
            // Polled again after it has ended, it has nothing to wait for.
            let Some(call) = call else { return Poll::Pending };
            state.set(State::Running { call });
        }
        match state.project() {
            StateProj::Running { call } => call.poll(cx),
            StateProj::Waiting { .. } => Poll::Pending,
        }
    }
}

fn no_endpoints(target: &'static str) -> Error {
    seawall_provenance::decided("balance.no_endpoints", &[KeyValue::new("peer", target)], Vec::new);
    SEAWALL.error(Code::Unavailable, "NO_ENDPOINTS", "no endpoint of the service is known")
}
