//! The layer that makes a call again which has had no effect, wherever there now is a way.
//!
//! An endpoint that drains takes leave of its connection while calls are on their way to it, and is
//! then gone; one that is full refuses their streams. The peer's code has not seen those calls, so they are
//! made again, once, whatever their method is, also one that is not idempotent or has no retries (gRFC A6,
//! transparent retries). A request that has not left the process comes back in the error. Of one that has,
//! h2 tells that the peer has not looked at it (it refused the stream, or named an earlier one as the last
//! in its GOAWAY), but the request is gone: so what is sent of it is kept until the answer begins, up to a
//! bound, unless a layer outside does that already for its retries.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use http::Request;
use opentelemetry::KeyValue;
use pin_project_lite::pin_project;
use seawall_retry::{Allowance, NotSent, Original, Replayed, RetryConfig};
use tonic::Status;
use tonic::body::Body;
use tower::util::Oneshot;
use tower::{Layer, Service};

use crate::answer::unavailable;

/// A request that was not sent, as the source of the status that the call failed with.
struct Unsent {
    /// For one that takes it; a status can only be looked at.
    request: Mutex<Option<Request<Body>>>,
    cause: Box<dyn StdError + Send + Sync>,
    /// Whether the call has waited, and is to be made where there are news of.
    is_elsewhere: bool,
}

/// Without the request, since errors are logged, and headers have secrets in them.
impl fmt::Debug for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsent").field("cause", &self.cause).finish_non_exhaustive()
    }
}

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection has not taken the call")
    }
}

impl StdError for Unsent {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.cause)
    }
}

/// The failure of a call that was not sent, and can be made again with all of its request.
pub(crate) fn unsent(what: &str, cause: impl Into<Box<dyn StdError + Send + Sync>>, request: Request<Body>) -> Status {
    given_back(what, cause, request, false)
}

/// The same of a call that waits, and had better do so at another endpoint.
pub(crate) fn elsewhere(request: Request<Body>) -> Status {
    given_back("another endpoint may be ready", io::Error::from(io::ErrorKind::NotConnected), request, true)
}

fn given_back(
    what: &str,
    cause: impl Into<Box<dyn StdError + Send + Sync>>,
    request: Request<Body>,
    is_elsewhere: bool,
) -> Status {
    let request = Mutex::new(Some(request));
    unavailable(what, NotSent::new(Unsent { request, cause: cause.into(), is_elsewhere }))
}

/// The request of a call that is to be made elsewhere.
pub(crate) fn sent_elsewhere(status: &Status) -> Option<Request<Body>> {
    taken(status, true)
}

/// The request that a call has failed with, if it was not sent.
fn taken(status: &Status, is_elsewhere: bool) -> Option<Request<Body>> {
    let mut next = status.source();
    while let Some(error) = next {
        if let Some(unsent) = error.downcast_ref::<Unsent>() {
            let is_meant = unsent.is_elsewhere == is_elsewhere;
            return unsent.request.lock().unwrap_or_else(PoisonError::into_inner).take_if(|_| is_meant);
        }
        next = error.source();
    }
    None
}

/// Makes calls again, once, that have had no effect. Stands outside of what picks the endpoint.
#[derive(Debug, Clone)]
pub(crate) struct ResendLayer {
    peer: &'static str,
    allowance: Arc<Allowance>,
    bytes_max: usize,
}

impl ResendLayer {
    /// `peer` is its name in metrics; what is kept of its requests is kept with `allowance`.
    pub(crate) fn new(peer: &'static str, allowance: Arc<Allowance>) -> Self {
        Self { peer, allowance, bytes_max: RetryConfig::default().replay_bytes_max }
    }
}

impl<S> Layer<S> for ResendLayer {
    type Service = Resend<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Resend { inner, layer: self.clone() }
    }
}

/// The service of [`ResendLayer`].
#[derive(Debug, Clone)]
pub(crate) struct Resend<S> {
    inner: S,
    layer: ResendLayer,
}

impl<S: Service<Request<Body>, Error = Status> + Clone> Service<Request<Body>> for Resend<S> {
    type Response = S::Response;
    type Error = Status;
    type Future = ResendFuture<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let ResendLayer { peer, allowance, bytes_max } = &self.layer;
        let (kept, request) = if request.extensions().get::<Replayed>().is_some() {
            (None, request)
        } else {
            let mut kept = Original::new(request, *bytes_max, Arc::clone(allowance));
            let (reader, request) = kept.request(0);
            (Some(Box::new((kept, reader))), request)
        };
        let call = Sent::First { call: self.inner.call(request) };
        ResendFuture { call, again: Some(self.inner.clone()), kept, peer }
    }
}

pin_project! {
    /// The response of [`Resend`].
    pub(crate) struct ResendFuture<S: Service<Request<Body>>> {
        #[pin]
        call: Sent<S>,
        // None once the call has been made again.
        again: Option<S>,
        // The request, and which attempt reads it. Apart, because most calls that retry do so further out.
        kept: Option<Box<(Original, u32)>>,
        peer: &'static str,
    }
}

pin_project! {
    #[project = SentProj]
    enum Sent<S: Service<Request<Body>>> {
        First { #[pin] call: S::Future },
        // By a service that may not be ready.
        Again { #[pin] call: Oneshot<S, Request<Body>> },
    }
}

impl<S: Service<Request<Body>>> Future for Sent<S> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            SentProj::First { call } => call.poll(cx),
            SentProj::Again { call } => call.poll(cx),
        }
    }
}

impl<S: Service<Request<Body>, Error = Status>> Future for ResendFuture<S> {
    type Output = Result<S::Response, Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let answer = ready!(this.call.as_mut().poll(cx));
            let request = match &answer {
                Ok(_) => {
                    if let Some(mut kept) = this.kept.take() {
                        let reader = kept.1;
                        kept.0.commit(reader);
                    }
                    None
                }
                // Taken also where it is not made again, so that nobody keeps it with the error.
                Err(status) => taken(status, false).or_else(|| replayed(status, this.kept)),
            };
            let (Some(request), Some(inner)) = (request, this.again.take()) else { return Poll::Ready(answer) };
            seawall_provenance::decided("retry.resent", &[KeyValue::new("peer", *this.peer)], Vec::new);
            this.call.set(Sent::Again { call: Oneshot::new(inner, request) });
        }
    }
}

/// The request once more, if the peer has not looked at the first one and all that was sent is kept.
fn replayed(status: &Status, kept: &mut Option<Box<(Original, u32)>>) -> Option<Request<Body>> {
    let (kept, reader) = &mut **kept.as_mut()?;
    if !is_refused(status) || !kept.retire(*reader) {
        return None;
    }
    let (next, request) = kept.request(0);
    *reader = next;
    Some(request)
}

/// Whether the call was sent, and had no effect.
fn is_refused(status: &Status) -> bool {
    let mut next = status.source();
    while let Some(error) = next {
        if error.is::<Unsent>() {
            return false;
        }
        next = error.source();
    }
    NotSent::is_in(status)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use seawall_retry::AllowanceConfig;
    use tower::ServiceExt as _;

    use super::*;

    /// How often a call is made whose attempts end like this, and how the last one ends.
    async fn made(attempt: fn(usize, Request<Body>) -> Result<(), Status>) -> (usize, Result<(), Status>) {
        let calls = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&calls);
        let inner = tower::service_fn(move |request| {
            std::future::ready(attempt(count.fetch_add(1, Ordering::Relaxed), request))
        });
        let request = Request::builder().header("authorization", "secret").body(Body::empty()).unwrap();
        let allowance = Allowance::try_new("peer", &AllowanceConfig::default(), std::time::Instant::now()).unwrap();
        let ended = ResendLayer::new("peer", Arc::new(allowance)).layer(inner).oneshot(request).await;
        (calls.load(Ordering::Relaxed), ended)
    }

    fn lost(request: Request<Body>) -> Result<(), Status> {
        let status = unsent("gone", std::io::Error::from(std::io::ErrorKind::ConnectionReset), request);
        assert!(!format!("{status:?}").contains("secret"), "{status:?}");
        Err(status)
    }

    #[tokio::test]
    async fn a_call_that_was_not_sent_is_made_again_once_and_any_other_is_not() {
        let (calls, ended) = made(|call, request| if call == 0 { lost(request) } else { Ok(()) }).await;
        assert_eq!((calls, ended.is_ok()), (2, true));
        let (calls, ended) = made(|_, request| lost(request)).await;
        assert_eq!(calls, 2);
        assert!(taken(&ended.unwrap_err(), false).is_none(), "nobody needs the request any more");
        let (calls, ended) = made(|_, _| Err(Status::unavailable("the server says so"))).await;
        assert_eq!((calls, ended.is_err()), (1, true));
    }
}
