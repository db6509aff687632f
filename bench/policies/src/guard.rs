//! failsafe's breaker as a tower service, which it does not come as.

use std::task::{Context, Poll};

use failsafe::futures::{CircuitBreaker as _, ResponseFuture};
use failsafe::{Any, Config, FailurePolicy, StateMachine};
use tower::Service;

/// A service behind a breaker.
#[derive(Debug)]
pub(crate) struct Guard<S, P> {
    inner: S,
    breaker: StateMachine<P, ()>,
}

impl<S: Clone, P> Clone for Guard<S, P> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), breaker: self.breaker.clone() }
    }
}

/// Puts a service behind the breaker of `Config::new()`, as failsafe's documentation begins.
pub(crate) fn guard<S>(inner: S) -> Guard<S, impl FailurePolicy + Send + Sync + 'static> {
    Guard { inner, breaker: Config::new().build() }
}

impl<S, P, R> Service<R> for Guard<S, P>
where
    S: Service<R>,
    P: FailurePolicy + Send + Sync,
{
    type Response = S::Response;
    type Error = failsafe::Error<S::Error>;
    type Future = ResponseFuture<S::Future, P, (), Any>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(failsafe::Error::Inner)
    }

    fn call(&mut self, request: R) -> Self::Future {
        self.breaker.call(self.inner.call(request))
    }
}
