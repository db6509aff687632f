//! A call through the balancer allocates nothing on the heap.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use http::{HeaderName, HeaderValue, Request, Response};
use http_body::{Body as _, Frame};
use seawall_balance::{Address, Builder, Config, Pick, Plain, Static};
use seawall_classify::{Classifier, Direction};
use tower::Service;

/// An answer of one frame, its trailers.
#[derive(Default)]
struct Answer(Option<http::HeaderMap>);

impl http_body::Body for Answer {
    type Data = &'static [u8];
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Infallible>>> {
        Poll::Ready(self.0.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }
}

#[derive(Clone)]
struct Endpoint;

impl Service<Request<http::HeaderMap>> for Endpoint {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Answer>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    /// The trailers are made by the test.
    fn call(&mut self, request: Request<http::HeaderMap>) -> Self::Future {
        ready(Ok(Response::new(Answer(Some(request.into_body())))))
    }
}

async fn allocations_of_a_call(pick: Pick) -> u64 {
    let addresses = (0..100).map(|n| Address::new(format!("10.0.0.{n}:80").parse().unwrap()));
    let config = Config { pick, ..Config::default() };
    let mut balance = Builder::try_new("peer", config).unwrap().build(
        Static::new(addresses),
        |_| Plain(Endpoint),
        |_: &str| Classifier::new(Direction::Outbound, false),
    );
    tokio::task::yield_now().await;
    let mut cx = Context::from_waker(Waker::noop());
    let mut call = |n: u32| {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        let mut request = Request::new(trailers);
        request.headers_mut().insert("user-id", HeaderValue::from(n));
        let info = allocation_counter::measure(|| {
            let mut future = std::pin::pin!(balance.call(request));
            let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut cx) else { panic!("not ready") };
            let mut body = std::pin::pin!(response.into_body());
            while let Poll::Ready(Some(Ok(frame))) = body.as_mut().poll_frame(&mut cx) {
                // Freeing what the test has made.
                std::mem::drop(frame);
            }
        });
        info.count_total
    };
    // The first pick of a thread sets up its part of the swap.
    call(0);
    (1..1_000).map(call).max().unwrap()
}

#[tokio::test]
async fn by_load() {
    assert_eq!(allocations_of_a_call(Pick::LeastLoaded).await, 0);
}

#[tokio::test]
async fn by_key() {
    let pick = Pick::Hash { header: HeaderName::from_static("user-id"), load_factor: 1.25 };
    assert_eq!(allocations_of_a_call(pick).await, 0);
}
