//! A call whose method has no policy costs the layers no allocation.

use std::future::{Future, ready};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::{HeaderMap, Request, Response};
use seawall_retry::{HedgeLayer, HedgePolicy, RetryLayer, RetryPolicy};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer as _, Service as _, service_fn};

#[test]
fn a_call_that_passes_untouched_does_not_allocate() {
    let answer = |_: Request<Body>| ready(Ok::<_, Status>(Response::new(Body::empty())));
    let retry = RetryLayer::new(|_: &str| None::<Arc<RetryPolicy>>, |_: &HeaderMap| None);
    let hedge = HedgeLayer::new(|_: &str| None::<Arc<HedgePolicy>>, |_: &HeaderMap| None);
    let mut retry = retry.layer(service_fn(answer));
    let mut hedge = hedge.layer(service_fn(answer));
    let measured = allocation_counter::measure(|| {
        let mut cx = Context::from_waker(Waker::noop());
        let call = pin!(retry.call(Request::new(Body::empty())));
        assert!(matches!(call.poll(&mut cx), Poll::Ready(Ok(_))));
        let call = pin!(hedge.call(Request::new(Body::empty())));
        assert!(matches!(call.poll(&mut cx), Poll::Ready(Ok(_))));
    });
    assert_eq!(measured.count_total, 0);
}
