//! One request that several attempts read at once, each in a task of its own on another thread.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full};
use seawall_retry::{
    Allowance, AllowanceConfig, BudgetConfig, HedgeConfig, HedgeDelay, HedgeLayer, HedgePolicy, Idempotency,
};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer as _, Service as _, service_fn};

/// Gives its frames one by one, and before each of them is pending for a while: the waker is called
/// by another task.
struct Reluctant {
    frames: VecDeque<Bytes>,
    is_asked: bool,
}

impl http_body::Body for Reluctant {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.is_asked = !self.is_asked;
        if self.is_asked {
            let waker = cx.waker().clone();
            tokio::spawn(async move {
                tokio::task::yield_now().await;
                waker.wake();
            });
            return Poll::Pending;
        }
        Poll::Ready(self.frames.pop_front().map(|frame| Ok(Frame::data(frame))))
    }
}

/// Reads the request as a connection does, in its own task, and answers with it.
async fn echo(request: Request<Body>) -> Result<Response<Body>, Status> {
    let reading = tokio::spawn(request.into_body().collect());
    let message = reading.await.unwrap()?.to_bytes();
    Ok(Response::new(Body::new(Full::new(message))))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn attempts_that_read_at_once_all_get_the_whole_request() {
    let now = Instant::now();
    let budget = BudgetConfig { min_per_second: 1000, ..BudgetConfig::default() };
    let allowance = AllowanceConfig { budget, ..AllowanceConfig::default() };
    let allowance = Arc::new(Allowance::try_new("shop", &allowance, now).unwrap());
    let message: Vec<Bytes> = (0..20).map(|index| Bytes::from(vec![b'a' + index; 10])).collect();
    let whole = message.concat();
    // The whole of it fits, half of it does, nothing does.
    for replay_bytes_max in [200, 100, 1] {
        let delay = HedgeDelay::Fixed(Duration::ZERO);
        let config = HedgeConfig { attempts_max: 5, delay, replay_bytes_max, ..HedgeConfig::default() };
        let policy = HedgePolicy::try_new("/a/b", &config, Idempotency::Idempotent, allowance.clone(), now);
        let policy = Arc::new(policy.unwrap());
        let layer = HedgeLayer::new(move |_: &str| Some(policy.clone()), |_: &HeaderMap| None);
        let calls: Vec<_> = (0..200)
            .map(|_| {
                let body = Body::new(Reluctant { frames: message.clone().into(), is_asked: false });
                tokio::spawn(layer.layer(service_fn(echo)).call(Request::new(body)))
            })
            .collect();
        for call in calls {
            let answer = call.await.unwrap().unwrap();
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), whole);
        }
    }
}
