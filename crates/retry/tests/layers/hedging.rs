//! Hedging: a second attempt while the first takes long.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use seawall_propagation::Propagated;
use seawall_retry::{Allowance, HedgeConfig, HedgeDelay, HedgeLayer, HedgePolicy, Idempotency, RetriedBody};
use tokio::time::{Instant, sleep, timeout};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer as _, Service as _};

use crate::peer::{Answer, METHOD, Peer, allowance, code, read, request};

fn config() -> HedgeConfig {
    HedgeConfig {
        attempts_max: 3,
        delay: HedgeDelay::Fixed(Duration::from_millis(100)),
        non_fatal_codes: vec![Code::Unavailable],
        ..HedgeConfig::default()
    }
}

struct Caller {
    policy: Arc<HedgePolicy>,
    remaining: Option<Duration>,
}

impl Caller {
    fn new() -> Self {
        Self::with(&config(), allowance())
    }

    fn with(config: &HedgeConfig, allowance: Arc<Allowance>) -> Self {
        let now = Instant::now().into_std();
        let policy = HedgePolicy::try_new(METHOD, config, Idempotency::NoSideEffects, allowance, now).unwrap();
        Self { policy: Arc::new(policy), remaining: None }
    }

    async fn call(&self, peer: &Peer, request: Request<Body>) -> Result<Response<RetriedBody<Body>>, Status> {
        let (policy, remaining) = (self.policy.clone(), self.remaining);
        let layer =
            HedgeLayer::new(move |path: &str| (path == METHOD).then(|| policy.clone()), move |_: &HeaderMap| remaining);
        let mut service = layer.layer(peer.clone().service());
        poll_fn(|cx| service.poll_ready(cx)).await?;
        service.call(request).await
    }

    /// The code, and how long it took.
    async fn code(&self, peer: &Peer) -> (Code, u128) {
        let start = Instant::now();
        let answer = self.call(peer, request("get")).await;
        (code(&answer).unwrap_or(Code::Ok), start.elapsed().as_millis())
    }
}

fn ok() -> Answer {
    Answer::code(Code::Ok)
}

fn busy() -> Answer {
    Answer::code(Code::Unavailable)
}

#[tokio::test(start_paused = true)]
async fn a_fast_call_is_sent_once() {
    let peer = Peer::new([ok().after(99)]);
    assert_eq!(Caller::new().code(&peer).await, (Code::Ok, 99));
    assert_eq!(peer.times(), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_is_sent_again_and_the_loser_is_dropped() {
    let peer = Peer::new([ok().after(5000), Answer::stream(&["b"], Code::Ok).after(20)]);
    let response = Caller::new().call(&peer, request("get")).await.unwrap();
    assert_eq!(peer.in_flight(), 0, "the first one is dropped when the second has answered");
    assert_eq!(read(response).await, ("b".into(), Code::Ok));
    assert_eq!(peer.times(), [0, 100]);
    let seen = peer.seen();
    assert_eq!(seen.iter().map(|seen| seen.body.as_str()).collect::<Vec<_>>(), ["get", "get"]);
    assert_eq!(seen[1].previous_attempts.as_deref(), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn attempts_follow_each_other_up_to_the_limit_and_any_may_win() {
    let peer = Peer::new([ok().after(250), ok().after(5000), ok().after(5000), ok()]);
    assert_eq!(Caller::new().code(&peer).await, (Code::Ok, 250));
    assert_eq!(peer.times(), [0, 100, 200]);
}

#[tokio::test(start_paused = true)]
async fn a_code_that_is_not_fatal_sends_the_next_at_once_and_the_rhythm_starts_anew() {
    let peer = Peer::new([busy().after(30), ok().after(5000), ok().after(10)]);
    assert_eq!(Caller::new().code(&peer).await, (Code::Ok, 140));
    assert_eq!(peer.times(), [0, 30, 130]);
}

#[tokio::test(start_paused = true)]
async fn the_first_fatal_code_is_the_answer() {
    let peer = Peer::new([ok().after(5000), Answer::code(Code::NotFound).after(20)]);
    assert_eq!(Caller::new().code(&peer).await, (Code::NotFound, 120));
    assert_eq!((peer.seen().len(), peer.in_flight()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn if_all_fail_the_last_failure_is_the_answer() {
    let peer = Peer::new([busy().after(500), busy(), Answer::error(Code::Unavailable).after(50)]);
    assert_eq!(Caller::new().code(&peer).await, (Code::Unavailable, 500));
    assert_eq!(peer.times(), [0, 100, 100]);
}

#[tokio::test(start_paused = true)]
async fn pushback_puts_the_next_off_or_stops_them() {
    let peer = Peer::new([Answer::pushback(Code::Unavailable, "70").after(20), ok().after(5000), ok()]);
    assert_eq!(Caller::new().code(&peer).await, (Code::Ok, 190));
    assert_eq!(peer.times(), [0, 90, 190]);

    let peer = Peer::new([ok().after(500), Answer::pushback(Code::Unavailable, "-1"), ok()]);
    assert_eq!(Caller::new().code(&peer).await, (Code::Ok, 500));
    assert_eq!(peer.times(), [0, 100], "the first goes on, and there is no third");

    let peer = Peer::new([Answer::pushback(Code::Unavailable, "-1")]);
    assert_eq!(Caller::new().code(&peer).await, (Code::Unavailable, 0));
}

#[tokio::test(start_paused = true)]
async fn tokens_and_budget_are_the_peers() {
    let tired = allowance();
    for _ in 0..5 {
        tired.throttle().failed();
    }
    let spent = allowance();
    while spent.budget().withdraw(Instant::now().into_std()) {}
    for allowance in [tired, spent] {
        let peer = Peer::new([ok().after(500)]);
        assert_eq!(Caller::with(&config(), allowance).code(&peer).await, (Code::Ok, 500));
        assert_eq!(peer.seen().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_is_refused_when_it_is_due_leaves_the_last_failure() {
    let tired = allowance();
    for _ in 0..4 {
        tired.throttle().failed();
    }
    let peer = Peer::new([Answer::pushback(Code::Unavailable, "70")]);
    let caller = Caller::with(&config(), tired);
    assert_eq!(caller.code(&peer).await, (Code::Unavailable, 0), "it is not waited for what cannot be");

    let spent = allowance();
    while spent.budget().withdraw(Instant::now().into_std()) {}
    assert_eq!(Caller::with(&config(), spent).code(&peer).await, (Code::Unavailable, 70));
    assert_eq!(peer.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_serves_a_retry_is_not_hedged() {
    let peer = Peer::new([ok().after(500)]);
    let retried = Propagated { is_retry: true, ..Propagated::default() };
    assert_eq!(retried.scope(Caller::new().code(&peer)).await, (Code::Ok, 500));
    assert_eq!(peer.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn there_is_no_hedge_after_the_deadline() {
    for (remaining, attempts) in [(100, 1), (101, 2), (201, 3)] {
        let peer = Peer::new([ok().after(500)]);
        let caller = Caller { remaining: Some(Duration::from_millis(remaining)), ..Caller::new() };
        caller.code(&peer).await;
        assert_eq!(peer.seen().len(), attempts, "{remaining} ms");
    }
    let peer = Peer::new([Answer::pushback(Code::Unavailable, "500")]);
    let caller = Caller { remaining: Some(Duration::from_millis(300)), ..Caller::new() };
    assert_eq!(caller.code(&peer).await, (Code::Unavailable, 0), "a failure is not held back");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_was_not_sent_is_made_again_and_not_counted() {
    let peer = Peer::new([Answer::not_sent().after(10), ok().after(5000), ok().after(5000), ok().after(5)]);
    assert_eq!(Caller::new().code(&peer).await, (Code::Ok, 205));
    assert_eq!(peer.times(), [0, 10, 100, 200]);
    let headers: Vec<_> = peer.seen().into_iter().map(|seen| seen.previous_attempts).collect();
    assert_eq!(headers, [None, None, Some("1".into()), Some("2".into())]);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_call_drops_all_attempts() {
    let peer = Peer::new([ok().after(5000)]);
    let caller = Caller::new();
    let ended = timeout(Duration::from_millis(150), async {
        tokio::join!(caller.code(&peer), async {
            sleep(Duration::from_millis(140)).await;
            assert_eq!(peer.in_flight(), 2);
        })
    });
    assert!(ended.await.is_err());
    sleep(Duration::from_secs(9)).await;
    assert_eq!((peer.seen().len(), peer.in_flight()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn all_attempts_read_one_request_and_an_overflow_leaves_it_to_one() {
    // The second is sent before the request is too long, and the third would be after.
    for (bytes_max, sent, whole) in [(6, 3, 3), (5, 2, 1)] {
        let frames = tokio_stream::iter(["aa", "bb", "cc"]);
        let frames = tokio_stream::StreamExt::then(frames, async |message| {
            sleep(Duration::from_millis(60)).await;
            Ok::<_, Status>(Frame::data(Bytes::from_static(message.as_bytes())))
        });
        let mut request = Request::new(Body::new(StreamBody::new(frames)));
        *request.uri_mut() = METHOD.parse().unwrap();
        let config = HedgeConfig { replay_bytes_max: bytes_max, ..config() };
        let peer = Peer::new([ok().after(100)]);
        let allowance = allowance();
        let answer = Caller::with(&config, allowance.clone()).call(&peer, request).await;
        assert_eq!(code(&answer), Some(Code::Ok));
        let taken = allowance.snapshot(Instant::now().into_std()).budget_attempts_made;
        assert_eq!(taken, sent as u64 - 1, "what cannot be sent takes nothing out of the budget");
        let bodies: Vec<String> = peer.seen().into_iter().map(|seen| seen.body).collect();
        assert_eq!((bodies.len(), bodies.iter().filter(|body| *body == "aabbcc").count()), (sent, whole), "{bodies:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_delay_becomes_what_one_call_in_twenty_takes_longer_than() {
    let ms = Duration::from_millis;
    let delay = HedgeDelay::Observed { percentile: 0.95, initial: ms(300), min: ms(5), max: ms(1000) };
    let caller = Caller::with(&HedgeConfig { attempts_max: 2, delay, ..config() }, allowance());
    // One call in fifty takes 400 ms, all others 20 ms; hedges take 20 ms.
    let call = async |index: usize| {
        let first = if index.is_multiple_of(50) { 400 } else { 20 };
        let peer = Peer::new([ok().after(first), ok().after(20)]);
        caller.code(&peer).await
    };
    assert_eq!(call(0).await, (Code::Ok, 320));
    for index in 1..1000 {
        call(index).await;
    }
    let snapshot = caller.policy.snapshot(Instant::now().into_std());
    assert!(snapshot.is_delay_observed && (20.0..23.0).contains(&snapshot.delay_ms), "{snapshot:?}");
    let (_, took) = call(0).await;
    assert!((40..=43).contains(&took), "{took} ms");
}

#[tokio::test(start_paused = true)]
async fn calls_that_were_given_up_are_not_forgotten_by_the_delay() {
    let ms = Duration::from_millis;
    let delay = HedgeDelay::Observed { percentile: 0.95, initial: ms(300), min: ms(5), max: ms(1000) };
    let caller = Caller::with(&HedgeConfig { attempts_max: 2, delay, ..config() }, allowance());
    // One call in ten takes 400 ms, so this is what one in twenty takes as well, though the hedges
    // of all of those win at first.
    for index in 0..500_usize {
        let first = if index.is_multiple_of(10) { 400 } else { 20 };
        caller.code(&Peer::new([ok().after(first), ok().after(20)])).await;
    }
    let snapshot = caller.policy.snapshot(Instant::now().into_std());
    assert!(snapshot.is_delay_observed && snapshot.delay_ms >= 300.0, "{snapshot:?}");
}
