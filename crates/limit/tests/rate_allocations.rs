//! A call that passes costs no memory.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::{Request, Response};
use seawall_limit::{Key, RateConfig, RateKind, RateLayer, RateLimiter};
use tower::{Layer as _, Service};

#[derive(Clone)]
struct Empty;

impl Service<Request<()>> for Empty {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(Response::new(())))
    }
}

#[test]
fn a_call_that_passes_allocates_nothing() {
    let tenant = || Key::Metadata("x-tenant".into());
    for key in [vec![Key::Method], vec![], vec![Key::Method, Key::Caller, tenant()]] {
        for kind in [RateKind::TokenBucket, RateKind::LeakyBucket { queue_max: 10 }] {
            let config = RateConfig { key: key.clone(), kind, ..RateConfig::default() };
            let limiter = Arc::new(RateLimiter::try_new("test", config, None, std::time::Instant::now()).unwrap());
            let found = Arc::clone(&limiter);
            let mut service = RateLayer::new(move |_: &str| Some(Arc::clone(&found))).layer(Empty);
            let request = || Request::builder().uri("/shop.v1.Shop/Buy").header("x-tenant", "1").body(()).unwrap();
            // The first makes what a thread makes once.
            for _ in 0..2 {
                let request = request();
                let mut answer = None;
                let info = allocation_counter::measure(|| {
                    let mut call = pin!(service.call(request));
                    answer = Some(call.as_mut().poll(&mut Context::from_waker(Waker::noop())));
                });
                assert!(matches!(answer, Some(Poll::Ready(Ok(_)))));
                // The request, made before, was dropped within.
                assert_eq!(info.count_total, 0, "{key:?}, {kind:?}: {info:?}");
            }
            assert_eq!(limiter.snapshot(std::time::Instant::now()).passed, 2);
        }
    }
}
