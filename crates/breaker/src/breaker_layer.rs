//! The layer: asks the breaker of a call's method, and tells it how the call ended.

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::Either;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use opentelemetry::KeyValue;
use seawall_classify::{Classifier, Direction, End, ObservedBody, ObservedFuture, Observer, Outcome};
use seawall_clock::now;
use seawall_error::{Code, Error, SEAWALL};
use tokio::time::Instant;
use tower::{Layer, Service};

use crate::{Breaker, Permit, Refusal};

/// Refuses calls that would fail, so that a peer in trouble is left alone and its callers do not wait.
///
/// - A refused call is answered with `UNAVAILABLE`, reason `BREAKER_OPEN`, and is not to be retried:
///   to fail fast is the point. `RetryInfo` says when calls are likely to pass again.
/// - The end of a stream is its trailers; how fast a call was is the time until its answer began.
/// - A call that is dropped, or refused by a layer inside, says nothing about the peer. So the layer that ends calls at their
///   deadline belongs inside of this one: outside of it, it would hide a peer that never answers.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Instant;
/// use seawall_breaker::{Breaker, BreakerLayer, Config};
///
/// let place = Arc::new(Breaker::try_new("order", "PlaceOrder", Config::default(), Instant::now())?);
/// let layer = BreakerLayer::new(move |path: &str| path.ends_with("/PlaceOrder").then(|| Arc::clone(&place)));
/// # Ok::<(), seawall_breaker::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct BreakerLayer<P, C = fn(&str) -> Classifier, F = NoFallback> {
    policy: P,
    classifier: C,
    fallback: F,
}

impl<P: Fn(&str) -> Option<Arc<Breaker>>> BreakerLayer<P> {
    /// `policy` is asked with the path of each call; a call for which it has no breaker passes.
    /// Outcomes are those of outbound calls.
    pub fn new(policy: P) -> Self {
        Self { policy, classifier: |_path| Classifier::new(Direction::Outbound, false), fallback: NoFallback }
    }
}

impl<P, C, F> BreakerLayer<P, C, F> {
    /// `classifier` is asked with the path of each call what its codes mean.
    pub fn with_classifier<D: Fn(&str) -> Classifier>(self, classifier: D) -> BreakerLayer<P, D, F> {
        BreakerLayer { policy: self.policy, classifier, fallback: self.fallback }
    }

    /// `fallback` may answer a call that is refused, such as from what an earlier one has brought. A
    /// closure `Fn(&Parts, &Refusal) -> Option<Response<ResBody>>` is one.
    pub fn with_fallback<G>(self, fallback: G) -> BreakerLayer<P, C, G> {
        BreakerLayer { policy: self.policy, classifier: self.classifier, fallback }
    }
}

/// Answers calls that a breaker refuses.
pub trait Fallback<B> {
    /// An answer to the call, or `None` to let it be refused.
    fn answer(&self, call: &Parts, refusal: &Refusal) -> Option<Response<B>>;
}

impl<B, F: Fn(&Parts, &Refusal) -> Option<Response<B>>> Fallback<B> for F {
    fn answer(&self, call: &Parts, refusal: &Refusal) -> Option<Response<B>> {
        self(call, refusal)
    }
}

/// Lets every call be refused.
#[derive(Debug, Clone, Copy)]
pub struct NoFallback;

impl<B> Fallback<B> for NoFallback {
    fn answer(&self, _call: &Parts, _refusal: &Refusal) -> Option<Response<B>> {
        None
    }
}

impl<S, P: Clone, C: Clone, F: Clone> Layer<S> for BreakerLayer<P, C, F> {
    type Service = BreakerService<S, P, C, F>;

    fn layer(&self, inner: S) -> Self::Service {
        BreakerService { inner, layer: self.clone() }
    }
}

/// The service of [`BreakerLayer`].
#[derive(Debug, Clone)]
pub struct BreakerService<S, P, C = fn(&str) -> Classifier, F = NoFallback> {
    inner: S,
    layer: BreakerLayer<P, C, F>,
}

/// The response of [`BreakerService`]: the call, or the answer of a fallback.
pub type ResponseFuture<F, B, E> = ObservedFuture<Either<F, FallenBack<B, E>>, Ticket>;

/// The answer of a fallback. Apart, so that the calls that are made do not carry the room for one.
#[derive(Debug)]
pub struct FallenBack<B, E> {
    answer: Box<Ready<Result<Response<B>, E>>>,
}

impl<B, E> Future for FallenBack<B, E> {
    type Output = Result<Response<B>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(cx)
    }
}

impl<S, P, C, F, ReqBody, ResBody> Service<Request<ReqBody>> for BreakerService<S, P, C, F>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>, Error: 'static>,
    P: Fn(&str) -> Option<Arc<Breaker>>,
    C: Fn(&str) -> Classifier,
    F: Fallback<ResBody>,
    ResBody: Body<Error: 'static>,
{
    type Response = Response<ObservedBody<ResBody, Ticket>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, ResBody, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let path = request.uri().path();
        let Some(breaker) = (self.layer.policy)(path) else {
            return ObservedFuture::new(Either::Left(self.inner.call(request)), Ticket(None));
        };
        let started = now();
        match breaker.admit(started.into_std(), fastrand::f64()) {
            Ok(permit) => {
                let classifier = (self.layer.classifier)(path);
                let admitted = Admitted { breaker, permit, classifier, started, answered: None };
                ObservedFuture::new(Either::Left(self.inner.call(request)), Ticket(Some(admitted)))
            }
            Err(refusal) => {
                seawall_provenance::decided("breaker.rejected", breaker.labels(), || {
                    let endpoint = breaker.endpoint().map(|endpoint| KeyValue::new("endpoint", endpoint.to_owned()));
                    refusal.numbers().into_iter().chain(endpoint).collect()
                });
                match self.layer.fallback.answer(&request.into_parts().0, &refusal) {
                    Some(response) => {
                        let answer = Box::new(ready(Ok(response)));
                        ObservedFuture::new(Either::Right(FallenBack { answer }), Ticket(None))
                    }
                    None => ObservedFuture::refused(refused(&refusal)),
                }
            }
        }
    }
}

fn refused(refusal: &Refusal) -> Error {
    let error = SEAWALL.error(Code::Unavailable, "BREAKER_OPEN", "calls of this kind have failed lately");
    let error = match refusal.retry_after {
        Some(after) => error.with_retry_after(after),
        None => error,
    };
    error.without_retry()
}

/// A call that the breaker waits to hear of, or one that it does not count.
#[derive(Debug)]
pub struct Ticket(Option<Admitted>);

#[derive(Debug)]
struct Admitted {
    breaker: Arc<Breaker>,
    permit: Permit,
    classifier: Classifier,
    started: Instant,
    /// How long it took until the answer began.
    answered: Option<Duration>,
}

impl Observer for Ticket {
    fn headers(&mut self) {
        if let Some(call) = &mut self.0 {
            call.answered = Some(now() - call.started);
            call.breaker.answering(&mut call.permit);
        }
    }

    fn end(self, end: End) {
        let Some(Admitted { breaker, permit, classifier, started, answered }) = self.0 else { return };
        let now = now();
        let outcome = match end {
            End::Code(code) => classifier.classify(code),
            End::Refused(_) | End::Dropped => Outcome::Cancelled,
        };
        breaker.record(now.into_std(), permit, outcome, answered.unwrap_or(now - started));
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests;
