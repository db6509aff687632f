//! The layer: who a call is from, whether they may make it, and who they are for all that serves it.

mod config;
mod guard;
mod verified;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use opentelemetry::KeyValue;
use pin_project_lite::pin_project;
use seawall_error::Error;
use seawall_headers::{BINARY, SECRET, may_have};
use seawall_propagation::Caller;
use seawall_trace::describe;
use tonic::Status;
use tower::{Layer, Service};

use crate::Identity;
use crate::tls::SpiffeId;
pub use config::{Config, TokenConfig};
use guard::Admission;
pub use guard::Guard;

/// Lets calls in by the rules of a [`Guard`], and makes who they are from [`Identity::current`].
///
/// | a call | is answered |
/// |---|---|
/// | without credentials, where some are needed | `UNAUTHENTICATED`, `CREDENTIALS_MISSING` |
/// | with a token that has expired | `UNAUTHENTICATED`, `TOKEN_EXPIRED` |
/// | with another token that is not believed | `UNAUTHENTICATED`, `TOKEN_INVALID` |
/// | while the keys of tokens are not known | `UNAVAILABLE`, `TOKEN_KEYS_UNAVAILABLE` |
/// | of somebody who may not make it | `PERMISSION_DENIED`, `NOT_ALLOWED` |
///
/// A call is judged once, when it begins: a stream outlives its token, and ends at its deadline.
///
/// The identity is in the request's extensions as well, with a [`Caller`] for limits, and its subject in
/// the span, as `enduser.id`. Without a guard nobody is refused, and identities are those of certificates.
#[derive(Debug, Clone)]
pub struct AuthLayer {
    guard: Option<Guard>,
}

impl AuthLayer {
    /// `None` lets every call in.
    pub fn new(guard: Option<Guard>) -> Self {
        Self { guard }
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = Auth<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Auth { inner, guard: self.guard.clone() }
    }
}

/// The service of [`AuthLayer`].
#[derive(Debug, Clone)]
pub struct Auth<S> {
    inner: S,
    guard: Option<Guard>,
}

impl<S, A, B> Service<Request<A>> for Auth<S>
where
    S: Service<Request<A>, Response = Response<B>> + Clone,
    B: Body + Default,
{
    type Response = Response<IdentifiedBody<B>>;
    type Error = S::Error;
    type Future = AuthFuture<S, Request<A>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let admission = match &self.guard {
            Some(guard) => guard.admit(request.uri().path(), request.headers(), request.extensions()),
            None => Admission::Now(Ok(guard::service(request.extensions()).map(Identity::of_service))),
        };
        if may_have(SECRET | BINARY) {
            conceal(request.headers_mut());
        }
        let state = match admission {
            Admission::Now(Ok(identity)) => begin(&mut self.inner, request, identity),
            Admission::Now(Err(error)) => State::Refused { error: Some(error) },
            Admission::Later(judged) => {
                let next = self.inner.clone();
                let service = std::mem::replace(&mut self.inner, next);
                State::Judged { judged, held: Some(Box::new((service, request))) }
            }
        };
        AuthFuture { state }
    }
}

/// Whoever prints the headers after this does not print credentials, nor what nobody can read.
fn conceal(headers: &mut HeaderMap) {
    for (name, value) in headers.iter_mut() {
        let is_secret = [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE].contains(name);
        if is_secret || name.as_str().ends_with("-bin") {
            value.set_sensitive(true);
        }
    }
}

/// Begins a call that is let in.
fn begin<S, A>(service: &mut S, mut request: Request<A>, identity: Option<Identity>) -> State<S, Request<A>, S::Future>
where
    S: Service<Request<A>>,
{
    if let Some(identity) = &identity {
        note(identity);
        request.extensions_mut().insert(caller(identity));
        request.extensions_mut().insert(identity.clone());
    }
    State::Running { call: Identity::enter(identity.as_ref(), || service.call(request)), identity }
}

/// Into the span of the call, if it is recorded.
fn note(identity: &Identity) {
    describe(|| {
        let subject = identity.subject().map(|subject| KeyValue::new("enduser.id", subject.to_owned()));
        let service = identity.service().map(|service| KeyValue::new("seawall.caller", service.to_string()));
        subject.into_iter().chain(service).collect()
    });
}

/// The user, if there is one, and otherwise the service: at a gateway's callee, those who come through it
/// are told apart.
fn caller(identity: &Identity) -> Caller {
    match (identity.issuer(), identity.subject(), identity.service()) {
        (Some(issuer), Some(subject), _) => Caller::new(&[issuer, subject]),
        (_, _, service) => Caller::new(&[service.map_or("", SpiffeId::as_str)]),
    }
}

/// The judgement of a call, to come.
type Judged = Pin<Box<dyn Future<Output = Result<Option<Identity>, Error>> + Send>>;

pin_project! {
    /// The response of [`Auth`]. Dropping it drops the call.
    pub struct AuthFuture<S, R>
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
        Refused { error: Option<Error> },
        // On the heap, so that a call that is judged at once is not as large.
        Judged { judged: Judged, held: Option<Box<(S, R)>> },
        Running { #[pin] call: F, identity: Option<Identity> },
    }
}

impl<S: Service<R>, R> std::fmt::Debug for AuthFuture<S, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match self.state {
            State::Refused { .. } => "refused",
            State::Judged { .. } => "judged",
            State::Running { .. } => "running",
        };
        f.debug_struct("AuthFuture").field("state", &state).finish_non_exhaustive()
    }
}

impl<S, A, B> Future for AuthFuture<S, Request<A>>
where
    S: Service<Request<A>, Response = Response<B>>,
    B: Body + Default,
{
    type Output = Result<Response<IdentifiedBody<B>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProj::Refused { error } => {
                    let error = error.take().unwrap_or_else(Error::deadline_exceeded);
                    return Poll::Ready(Ok(Status::from(error).into_http()));
                }
                StateProj::Running { call, identity } => {
                    let answer = ready!(Identity::enter(identity.as_ref(), || call.poll(cx)));
                    let identity = identity.take();
                    return Poll::Ready(
                        answer.map(|response| response.map(|inner| IdentifiedBody { inner, identity })),
                    );
                }
                StateProj::Judged { judged, held } => {
                    let judged = ready!(judged.as_mut().poll(cx));
                    match (judged, held.take()) {
                        (Ok(identity), Some(held)) => {
                            let (mut service, request) = *held;
                            begin(&mut service, request, identity)
                        }
                        (Err(error), _) => State::Refused { error: Some(error) },
                        (Ok(_), None) => return Poll::Pending,
                    }
                }
            };
            state.set(next);
        }
    }
}

pin_project! {
    /// A response body, in which it is known who the call is from.
    #[derive(Debug, Default)]
    pub struct IdentifiedBody<B> {
        #[pin]
        inner: B,
        identity: Option<Identity>,
    }
}

impl<B: Body> Body for IdentifiedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        Identity::enter(this.identity.as_ref(), || this.inner.poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests;
