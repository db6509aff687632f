//! Each rule of gRFC A6, and those beside it.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use seawall_propagation::Propagated;
use seawall_retry::{Allowance, IDEMPOTENCY_KEY, Idempotency, RetriedBody, RetryConfig, RetryLayer, RetryPolicy};
use tokio::time::{Instant, sleep};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer as _, Service as _};

use crate::peer::{Answer, METHOD, Peer, allowance, code, read, request};

fn config() -> RetryConfig {
    let (initial_backoff, max_backoff) = (Duration::from_millis(100), Duration::from_millis(300));
    let codes = vec![Code::Unavailable, Code::Aborted];
    RetryConfig { attempts_max: 4, initial_backoff, max_backoff, codes, ..RetryConfig::default() }
}

fn policy(config: &RetryConfig, idempotency: Idempotency, allowance: Arc<Allowance>) -> Arc<RetryPolicy> {
    Arc::new(RetryPolicy::try_new(METHOD, config, idempotency, allowance).unwrap())
}

struct Caller {
    policy: Arc<RetryPolicy>,
    remaining: Option<Duration>,
}

impl Caller {
    fn new() -> Self {
        Self::with(config(), allowance())
    }

    fn with(config: RetryConfig, allowance: Arc<Allowance>) -> Self {
        Self { policy: policy(&config, Idempotency::Idempotent, allowance), remaining: None }
    }

    async fn call(&self, peer: &Peer, request: Request<Body>) -> Result<Response<RetriedBody<Body>>, Status> {
        let (policy, remaining) = (self.policy.clone(), self.remaining);
        let layer =
            RetryLayer::new(move |path: &str| (path == METHOD).then(|| policy.clone()), move |_: &HeaderMap| remaining);
        let mut service = layer.layer(peer.clone().service());
        poll_fn(|cx| service.poll_ready(cx)).await?;
        service.call(request).await
    }

    async fn code(&self, peer: &Peer) -> Option<Code> {
        code(&self.call(peer, request("get")).await)
    }
}

/// Times within the jitter of those that the back-off has.
fn assert_near(times: &[u128], expected: &[u128]) {
    assert_eq!(times.len(), expected.len(), "{times:?}");
    for (time, expected) in times.iter().zip(expected) {
        assert!(*time >= expected * 8 / 10 && *time <= expected * 12 / 10 + 3, "{times:?}, not about {expected}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retryable_failure_is_tried_again_with_growing_delays_up_to_the_limit() {
    let peer = Peer::new([Answer::code(Code::Unavailable)]);
    assert_eq!(Caller::new().code(&peer).await, Some(Code::Unavailable));
    assert_near(&peer.times(), &[0, 100, 300, 600]);
    let headers: Vec<_> = peer.seen().into_iter().map(|seen| seen.previous_attempts).collect();
    assert_eq!(headers, [None, Some("1".into()), Some("2".into()), Some("3".into())]);
}

#[tokio::test(start_paused = true)]
async fn every_attempt_sends_the_whole_request_and_the_first_good_answer_counts() {
    let peer = Peer::new([
        Answer::code(Code::Unavailable),
        Answer::error(Code::Aborted),
        Answer::stream(&["a", "b"], Code::Ok),
    ]);
    let response = Caller::new().call(&peer, request("get")).await.unwrap();
    assert_eq!(read(response).await, ("ab".into(), Code::Ok));
    assert_eq!(peer.seen().iter().map(|seen| seen.body.as_str()).collect::<Vec<_>>(), ["get"; 3]);
}

#[tokio::test(start_paused = true)]
async fn other_codes_are_the_answer() {
    for answer in [Answer::code(Code::NotFound), Answer::error(Code::Internal), Answer::code(Code::Ok)] {
        let peer = Peer::new([answer.clone(), Answer::code(Code::DataLoss)]);
        assert_ne!(Caller::new().code(&peer).await, Some(Code::DataLoss), "{answer:?}");
        assert_eq!(peer.seen().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_proxy_answers_is_retried_as_grpc_maps_it() {
    for (status, attempts) in [(503, 2), (502, 2), (429, 2), (404, 1), (401, 1)] {
        let peer = Peer::new([Answer::http(status), Answer::code(Code::Ok)]);
        Caller::new().call(&peer, request("get")).await.unwrap();
        assert_eq!(peer.seen().len(), attempts, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn pushback_is_waited_for_exactly_and_starts_the_backoff_anew() {
    let busy = || Answer::code(Code::Unavailable);
    let pushback = Answer::pushback(Code::Unavailable, "1234");
    let peer = Peer::new([busy(), busy(), pushback, busy()]);
    let caller = Caller::with(RetryConfig { attempts_max: 5, ..config() }, allowance());
    // Five failures would leave no tokens for the last one.
    for _ in 0..50 {
        let ok = Peer::new([Answer::code(Code::Ok)]);
        caller.code(&ok).await;
    }
    caller.code(&peer).await;
    let times = peer.times();
    assert_eq!(times[3] - times[2], 1234);
    assert_near(&[times[4] - times[3]], &[100]);
}

#[tokio::test(start_paused = true)]
async fn negative_or_unreadable_pushback_stops() {
    for ms in ["-1", "soon"] {
        let peer = Peer::new([Answer::pushback(Code::Unavailable, ms)]);
        let caller = Caller::new();
        assert_eq!(caller.code(&peer).await, Some(Code::Unavailable));
        assert_eq!(peer.seen().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pushback_that_stops_costs_a_token_whatever_the_code() {
    let allowance = allowance();
    let caller = Caller::with(config(), allowance.clone());
    let tokens_after = async |answer: Answer| {
        caller.code(&Peer::new([answer])).await;
        allowance.throttle().tokens()
    };
    assert_eq!(tokens_after(Answer::pushback(Code::NotFound, "-1")).await, 9.0);
    assert_eq!(tokens_after(Answer::pushback(Code::NotFound, "5")).await, 9.0);
    assert_eq!(tokens_after(Answer::code(Code::InvalidArgument)).await, 9.0);
    assert_eq!(tokens_after(Answer::pushback(Code::Unavailable, "-1")).await, 8.0);
    assert_eq!(tokens_after(Answer::code(Code::Ok)).await, 8.1);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_stream_counts_for_the_tokens_though_it_is_committed() {
    let allowance = allowance();
    let caller = Caller::with(config(), allowance.clone());
    for (end, tokens) in [(Code::Unavailable, 9.0), (Code::Ok, 9.1), (Code::NotFound, 9.1)] {
        let peer = Peer::new([Answer::stream(&["a"], end)]);
        let response = caller.call(&peer, request("get")).await.unwrap();
        assert_eq!(read(response).await.1, end);
        assert_eq!(allowance.throttle().tokens(), tokens);
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_was_not_sent_is_made_again_at_once_and_not_counted() {
    let allowance = allowance();
    let caller = Caller::with(config(), allowance.clone());
    let peer = Peer::new([Answer::not_sent(), Answer::code(Code::Ok)]);
    assert_eq!(caller.code(&peer).await, Some(Code::Ok));
    assert_eq!(peer.times(), [0, 0]);
    assert_eq!(peer.seen()[1], peer.seen()[0], "without a header, because it is the first that was sent");
    assert_eq!(allowance.throttle().tokens(), 10.0);
    assert_eq!(allowance.snapshot(Instant::now().into_std()).budget_attempts_made, 0);
}

#[tokio::test(start_paused = true)]
async fn a_second_one_that_was_not_sent_goes_by_the_policy() {
    let peer = Peer::new([Answer::not_sent()]);
    Caller::new().code(&peer).await;
    assert_near(&peer.times(), &[0, 0, 100, 300, 600]);
}

#[tokio::test(start_paused = true)]
async fn there_is_no_attempt_that_would_begin_after_the_deadline() {
    let peer = Peer::new([Answer::pushback(Code::Unavailable, "500")]);
    let mut caller = Caller::new();
    for (remaining, attempts) in [(499, 1), (500, 1), (501, 2), (1000, 2), (1001, 3)] {
        let peer = Peer::new([Answer::pushback(Code::Unavailable, "500")]);
        caller = Caller { remaining: Some(Duration::from_millis(remaining)), ..Caller::new() };
        let start = Instant::now();
        assert_eq!(caller.code(&peer).await, Some(Code::Unavailable));
        assert_eq!(peer.seen().len(), attempts, "{remaining} ms");
        assert_eq!(start.elapsed().as_millis(), 500 * (attempts as u128 - 1), "a failure is not held back");
    }
    drop((peer, caller));
}

#[tokio::test(start_paused = true)]
async fn what_serves_a_retry_is_not_retried() {
    let peer = Peer::new([Answer::code(Code::Unavailable)]);
    let retried = Propagated { is_retry: true, ..Propagated::default() };
    assert_eq!(retried.scope(Caller::new().code(&peer)).await, Some(Code::Unavailable));
    assert_eq!(peer.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_method_without_a_policy_and_a_call_without_its_key_pass_untouched() {
    let peer = Peer::new([Answer::code(Code::Unavailable)]);
    let mut other = request("get");
    *other.uri_mut() = "/shop.v1.Shop/Put".parse().unwrap();
    Caller::new().call(&peer, other).await.unwrap();
    assert_eq!(peer.seen().len(), 1);

    let keyed = Caller { policy: policy(&config(), Idempotency::Keyed, allowance()), remaining: None };
    for (key, attempts) in [(None, 1), (Some(""), 1), (Some("order-7"), 4)] {
        let peer = Peer::new([Answer::code(Code::Unavailable)]);
        let mut request = request("put");
        if let Some(key) = key {
            request.headers_mut().insert(IDEMPOTENCY_KEY, key.parse().unwrap());
        }
        keyed.call(&peer, request).await.unwrap();
        assert_eq!(peer.seen().len(), attempts, "{key:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_call_drops_its_attempt_and_there_is_no_other() {
    for drop_at_ms in [50, 150] {
        let peer = Peer::new([Answer::code(Code::Unavailable).after(100)]);
        let caller = Caller::new();
        tokio::select! {
            _ = caller.code(&peer) => panic!("the call has ended"),
            () = sleep(Duration::from_millis(drop_at_ms)) => {}
        }
        sleep(Duration::from_secs(5)).await;
        assert_eq!((peer.seen().len(), peer.in_flight()), (1, 0), "dropped after {drop_at_ms} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_always_fails_is_not_asked_much_more_than_it_is_called() {
    const CALLS: usize = 1000;
    // One after the other, and all at once. The fifth failure leaves half of the ten tokens; in the
    // first case the fourth is the last attempt of its call.
    for (at_once, retries) in [(1, 3), (CALLS, 4)] {
        let peer = Peer::new([Answer::code(Code::Unavailable).after(1)]);
        let caller = Arc::new(Caller::new());
        for _ in 0..CALLS / at_once {
            let calls = (0..at_once).map(|_| {
                let (caller, peer) = (caller.clone(), peer.clone());
                tokio::spawn(async move { caller.code(&peer).await })
            });
            for call in calls.collect::<Vec<_>>() {
                assert_eq!(call.await.unwrap(), Some(Code::Unavailable));
            }
        }
        assert_eq!(peer.seen().len(), CALLS + retries);
    }
}

#[tokio::test(start_paused = true)]
async fn the_budget_bounds_retries_where_the_tokens_last() {
    let config = seawall_retry::AllowanceConfig {
        throttle: seawall_retry::ThrottleConfig { tokens_max: 1000, token_ratio: 1.0 },
        budget: seawall_retry::BudgetConfig { min_per_second: 0, ..seawall_retry::BudgetConfig::default() },
        ..seawall_retry::AllowanceConfig::default()
    };
    let allowance = Arc::new(Allowance::try_new("shop", &config, Instant::now().into_std()).unwrap());
    let caller = Caller::with(self::config(), allowance);
    let peer = Peer::new([Answer::code(Code::Unavailable)]);
    for _ in 0..100 {
        caller.code(&peer).await;
    }
    assert!((110..=120).contains(&peer.seen().len()), "{}", peer.seen().len());
}
