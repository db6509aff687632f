//! Calls that wait for a connection instead of failing while there is none.

use std::task::{Context, Poll};

use futures_util::future::{BoxFuture, Either};
use http::{Request, Response};
use std::sync::Arc;
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;
use tower::util::Oneshot;
use tower::{Layer, Service};

use crate::resend::sent_elsewhere;
use crate::signals::Signals;

/// Whether a call waits for a connection until its deadline, or fails at once when no endpoint can be
/// reached (gRPC's "wait for ready"): an extension of its request, in place of the peer's setting.
///
/// A call waits only for a way to the peer. Once it is sent, it ends as any other.
///
/// ```
/// use seawall_client::WaitForReady;
/// use seawall_proto::seawall::user::v1::GetUserRequest;
///
/// let mut request = tonic::Request::new(GetUserRequest::default());
/// request.extensions_mut().insert(WaitForReady(true));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitForReady(pub bool);

/// In the extensions of a request that waits: the news since its endpoint was picked.
#[derive(Debug, Clone)]
pub(crate) struct Waits(watch::Receiver<bool>);

impl Waits {
    /// Waits for them; for ever if the call does not wait.
    pub(crate) async fn news(waits: Option<&mut Self>) {
        // The other side outlives the endpoints.
        if let Some(Self(news)) = waits
            && news.changed().await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}

/// Has calls wait. Stands outside of what picks the endpoint, since the one that is ready may be
/// another one by then.
#[derive(Debug, Clone)]
pub(crate) struct WaitLayer {
    by_default: bool,
    signals: Arc<Signals>,
}

impl WaitLayer {
    /// `by_default` is for calls that do not say.
    pub(crate) fn new(by_default: bool, signals: Arc<Signals>) -> Self {
        Self { by_default, signals }
    }
}

impl<S> Layer<S> for WaitLayer {
    type Service = Wait<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Wait { inner, layer: self.clone() }
    }
}

/// The service of [`WaitLayer`].
#[derive(Debug, Clone)]
pub(crate) struct Wait<S> {
    inner: S,
    layer: WaitLayer,
}

impl<S, B> Service<Request<Body>> for Wait<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Status, Future: Send> + Clone + Send + 'static,
    B: 'static,
{
    type Response = S::Response;
    type Error = Status;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response<B>, Status>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let waits = request.extensions().get::<WaitForReady>().map_or(self.layer.by_default, |it| it.0);
        if waits {
            let (inner, signals) = (self.inner.clone(), Arc::clone(&self.layer.signals));
            Either::Right(Box::pin(waiting(inner, signals, request)))
        } else {
            Either::Left(self.inner.call(request))
        }
    }
}

/// Makes the call where it can be made. Ends with the deadline, which a layer outside holds it to.
async fn waiting<S, B>(inner: S, signals: Arc<Signals>, mut request: Request<Body>) -> Result<Response<B>, Status>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Status> + Clone,
{
    loop {
        let mut news = signals.news();
        // Without endpoints there is none to wait at.
        let _ = news.wait_for(|has_endpoints| *has_endpoints).await;
        // What happens from here on may be about the choice that is made now.
        request.extensions_mut().insert(Waits(news));
        let answer = Oneshot::new(inner.clone(), request).await;
        match answer.as_ref().err().and_then(sent_elsewhere) {
            Some(again) => request = again,
            None => return answer,
        }
    }
}
