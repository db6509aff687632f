//! A call through the layer allocates nothing.
#![cfg(not(seawall_loom))]

use std::convert::Infallible;
use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use seawall_breaker::{Breaker, BreakerLayer, Config, Kind, ThreeStateConfig};
use tower::{Layer as _, Service, service_fn};

/// A stream of one message and its trailers, which were made before.
struct Answer(Option<Bytes>, Option<HeaderMap>);

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = self.0.take().map(Frame::data);
        Poll::Ready(data.or_else(|| self.1.take().map(Frame::trailers)).map(Ok))
    }
}

/// Makes the call, reads the answer to its end and returns how many frames it had.
fn call<S, B>(service: &mut S, request: Request<()>) -> usize
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
    B: Body<Error = Infallible>,
{
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let Poll::Ready(Ok(response)) = pin!(service.call(request)).poll(&mut cx) else { return 0 };
    let mut body = pin!(response.into_body());
    let mut frames = 0;
    while let Poll::Ready(Some(Ok(_))) = body.as_mut().poll_frame(&mut cx) {
        frames += 1;
    }
    frames
}

#[test]
fn a_call_that_is_let_through_allocates_nothing() {
    for kind in [Kind::default(), Kind::ThreeState(ThreeStateConfig::default()), Kind::Off] {
        let config = Config { kind: kind.clone() };
        let breaker = Arc::new(Breaker::try_new("peer", "Method", config, Instant::now()).unwrap());
        let layer = BreakerLayer::new(move |_: &str| Some(Arc::clone(&breaker)));
        for status in ["0", "5", "13"] {
            let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static(status))]);
            let answer = || Answer(Some(Bytes::from_static(b"message")), Some(trailers.clone()));
            let mut answers = vec![answer(), answer()];
            let mut service = layer.layer(service_fn(move |_: Request<()>| {
                ready(Ok::<_, Infallible>(Response::new(answers.pop().unwrap_or(Answer(None, None)))))
            }));
            // The first call of a thread makes its random numbers.
            assert_eq!(call(&mut service, Request::new(())), 2);
            let request = Request::new(());
            let allocations = allocation_counter::measure(|| {
                assert_eq!(call(&mut service, request), 2);
            });
            assert_eq!(allocations.count_total, 0, "{kind:?}, grpc-status {status}");
        }
    }
}
