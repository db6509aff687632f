//! A call that is served costs no heap allocation in the layers.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use seawall_limit::{
    ConcurrencyConfig, ConcurrencyLayer, ConcurrencyLimiter, CpuLoad, CpuShedder, CpuShedderConfig, ShedLayer,
};
use tower::{Layer as _, Service, service_fn};

type Frames = tokio_stream::Iter<std::array::IntoIter<Result<Frame<Bytes>, Infallible>, 2>>;

/// A response whose trailers, which it brings along, say that all went well.
fn answer(request: Request<HeaderMap>) -> Ready<Result<Response<StreamBody<Frames>>, Infallible>> {
    let frames = [Ok(Frame::data(Bytes::from_static(b"answer"))), Ok(Frame::trailers(request.into_body()))];
    ready(Ok(Response::new(StreamBody::new(tokio_stream::iter(frames)))))
}

fn request() -> Request<HeaderMap> {
    Request::new(HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]))
}

fn allocations_of<S, B>(mut service: S) -> u64
where
    S: Service<Request<HeaderMap>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body<Data = Bytes, Error = Infallible>,
{
    let mut call = |request| {
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(response)) = pin!(service.call(request)).poll(&mut cx) else { panic!("it waits") };
        let mut body = pin!(response.into_body());
        let mut frames = 0;
        while let Poll::Ready(Some(Ok(_))) = body.as_mut().poll_frame(&mut cx) {
            frames += 1;
        }
        assert_eq!(frames, 2);
    };
    call(request());
    // Enough of them that some close a window and are learnt from.
    let requests: Vec<_> = (0..1_000).map(|_| request()).collect();
    allocation_counter::measure(|| requests.into_iter().for_each(&mut call)).count_total
}

#[test]
fn a_call_under_the_limit_allocates_nothing() {
    let limiter = Arc::new(ConcurrencyLimiter::try_new(ConcurrencyConfig::default()).unwrap());
    for is_unary in [true, false] {
        let limiter = Arc::clone(&limiter);
        let layer = ConcurrencyLayer::new(move |_: &str| Some(Arc::clone(&limiter)), move |_: &str| is_unary);
        assert_eq!(allocations_of(layer.layer(service_fn(answer))), 0);
    }
    assert_eq!(limiter.snapshot(Instant::now()).in_flight, 0);
}

#[test]
fn a_call_that_is_not_shed_allocates_nothing() {
    let shedder = Arc::new(CpuShedder::try_new(CpuShedderConfig::default(), Instant::now()).unwrap());
    let layer = ShedLayer::new(move |_: &str| Some(Arc::clone(&shedder)), |_: &str| true, CpuLoad::default());
    assert_eq!(allocations_of(layer.layer(service_fn(answer))), 0);
}
