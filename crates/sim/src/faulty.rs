//! A service that does as it is told: well, slowly, with errors, or not at all.

use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower::Service;

/// How a host answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    /// As it should.
    #[default]
    Well,
    /// After 0.2 to 2 seconds.
    Slow,
    /// With this code, at once.
    Failing(Code),
    /// Never.
    Silent,
}

const SLOW_MS: RangeInclusive<u64> = 200..=2_000;

/// How a host answers now, and what it has been asked. It outlives the host's crashes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Health {
    mood: Arc<Mutex<Mood>>,
    calls: Arc<AtomicU64>,
}

impl Health {
    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    /// Calls that have come so far.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

/// A service in a mood.
#[derive(Debug, Clone)]
pub(crate) struct Faulty<S> {
    inner: S,
    health: Health,
}

impl<S> Faulty<S> {
    pub(crate) fn new(inner: S, health: Health) -> Self {
        Self { inner, health }
    }
}

impl<S: NamedService> NamedService for Faulty<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Faulty<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.health.calls.fetch_add(1, Ordering::Relaxed);
        let mood = *self.health.mood.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = self.inner.call(request);
        async move {
            match mood {
                Mood::Well => answer.await,
                Mood::Slow => {
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(SLOW_MS))).await;
                    answer.await
                }
                Mood::Failing(code) => Ok(Status::new(code, "told to fail").into_http()),
                Mood::Silent => std::future::pending().await,
            }
        }
        .boxed()
    }
}
