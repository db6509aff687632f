//! Which service a call is for.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::StdError;
use tonic::server::NamedService;
use tower::{Service, ServiceExt as _};

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// The services of a server by their names. A call of none of them is `UNIMPLEMENTED`; which methods there
/// are is for the services to say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Routes {
    // Few enough to be looked through: names differ in their lengths, or soon.
    routes: Arc<Vec<(&'static str, Erased)>>,
}

impl Routes {
    /// Adds a service. No other is to have its name: the first of them would be called.
    pub(crate) fn add<S>(&mut self, service: S)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + NamedService,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        Arc::make_mut(&mut self.routes).push((S::NAME, Erased(Arc::new(service))));
    }

    fn get(&self, path: &str) -> Option<&Erased> {
        let (name, method) = path.strip_prefix('/')?.split_once('/')?;
        let (_, service) = self.routes.iter().find(|(known, _)| *known == name)?;
        (!method.is_empty()).then_some(service)
    }
}

impl<B> Service<Request<B>> for Routes
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Routed;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Which service has to be is not known yet.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Routed {
        let service = self.get(request.uri().path());
        Routed { answer: service.map(|service| service.0.route(request.map(Body::new))) }
    }
}

/// The response of [`Routes`]. Dropping it drops the call.
pub(crate) struct Routed {
    /// `None` if there is no such service.
    answer: Option<Answer>,
}

impl Future for Routed {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.answer {
            Some(answer) => answer.as_mut().poll(cx),
            None => Poll::Ready(Ok(Status::unimplemented("").into_http())),
        }
    }
}

/// A service of any type.
#[derive(Clone)]
struct Erased(Arc<dyn Route>);

impl fmt::Debug for Erased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Service")
    }
}

trait Route: Send + Sync {
    fn route(&self, request: Request<Body>) -> Answer;
}

impl<S> Route for S
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    fn route(&self, request: Request<Body>) -> Answer {
        let mut service = self.clone();
        // Generated services always are.
        if service.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready() {
            return boxed(service.call(request));
        }
        boxed(service.oneshot(request))
    }
}

/// Those of generated services are boxed as they are.
fn boxed<F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static>(answer: F) -> Answer {
    let mut answer = Some(answer);
    if let Some(boxed) = <dyn Any>::downcast_mut::<Option<Answer>>(&mut answer).and_then(Option::take) {
        return boxed;
    }
    let Some(answer) = answer else { unreachable!("what is taken is returned") };
    Box::pin(answer)
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    /// Answers with the method it was called for, in the details of a status, once it was asked `0` times
    /// whether it is ready.
    #[derive(Clone)]
    struct Named<const NAME: u8>(u8);

    impl<const NAME: u8> NamedService for Named<NAME> {
        const NAME: &'static str = if NAME == 1 { "a.One" } else { "a.Two" };
    }

    impl<const NAME: u8> Service<Request<Body>> for Named<NAME> {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Response<Body>, Infallible>>;

        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            if self.0 == 0 {
                return Poll::Ready(Ok(()));
            }
            self.0 -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        }

        fn call(&mut self, request: Request<Body>) -> Self::Future {
            assert_eq!(self.0, 0, "called before it was ready");
            let text = format!("{} {}", Self::NAME, request.uri().path());
            std::future::ready(Ok(Status::new(Code::Unknown, text).into_http()))
        }
    }

    async fn answer(path: &str) -> (Code, String) {
        let mut routes = Routes::default();
        routes.add(Named::<1>(0));
        routes.add(Named::<2>(3));
        let answer = routes.oneshot(Request::post(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = Status::from_header_map(answer.headers()).unwrap();
        (status.code(), status.message().to_owned())
    }

    #[tokio::test]
    async fn a_call_goes_to_the_service_in_its_path() {
        for path in ["/a.One/Method", "/a.One/no/such/method", "/a.Two/Method"] {
            let expected = (Code::Unknown, format!("{} {path}", &path[1..6]));
            assert_eq!(answer(path).await, expected, "{path}");
        }
    }

    #[tokio::test]
    async fn a_call_of_no_service_is_unimplemented() {
        for path in ["/", "/a.One", "/a.One/", "/a.On/Method", "/a.Ones/Method", "/A.One/Method", "//a.One/Method"] {
            assert_eq!(answer(path).await, (Code::Unimplemented, String::new()), "{path}");
        }
    }
}
