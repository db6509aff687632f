//! The layer under a paused clock.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Mutex;

use bytes::Bytes;
use futures_util::stream;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use seawall_provenance::{CommandError, Live as _};
use tokio::time::{advance, sleep};
use tonic::Status;
use tonic_types::StatusExt as _;
use tower::{ServiceExt as _, service_fn};

use super::*;
use crate::{Config, Kind, State, ThreeStateConfig};

type TestBody = StreamBody<stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

/// How the service answers: after how long, and whether with headers alone or with a message first.
#[derive(Debug, Clone, Copy)]
struct Answer {
    code: Code,
    after_ms: u64,
    is_stream: bool,
}

const FAILED: Answer = Answer { code: Code::Unavailable, after_ms: 0, is_stream: false };
const OK: Answer = Answer { code: Code::Ok, after_ms: 0, is_stream: true };
const NEVER: Answer = Answer { code: Code::Ok, after_ms: u64::MAX, is_stream: false };

fn response(answer: Answer) -> Response<TestBody> {
    let status = HeaderMap::from_iter([("grpc-status".parse().unwrap(), (answer.code as i32).into())]);
    let frames = match answer.is_stream {
        true => vec![Ok(Frame::data(Bytes::from_static(b"message"))), Ok(Frame::trailers(status.clone()))],
        false => Vec::new(),
    };
    let mut response = Response::new(StreamBody::new(stream::iter(frames)));
    if !answer.is_stream {
        *response.headers_mut() = status;
    }
    response
}

/// Answers calls one after the other as it is told, then with success, and counts them.
#[derive(Debug, Clone, Default)]
struct Peer(Arc<Mutex<(VecDeque<Answer>, usize)>>);

impl Peer {
    fn will(&self, answers: impl IntoIterator<Item = Answer>) {
        self.0.lock().unwrap().0.extend(answers);
    }

    fn calls(&self) -> usize {
        self.0.lock().unwrap().1
    }

    fn service(&self) -> impl Service<Request<()>, Response = Response<TestBody>, Error = Infallible> + use<> {
        let peer = self.clone();
        service_fn(move |_request| {
            let answer = {
                let mut state = peer.0.lock().unwrap();
                state.1 += 1;
                state.0.pop_front().unwrap_or(OK)
            };
            async move {
                sleep(Duration::from_millis(answer.after_ms)).await;
                Ok(response(answer))
            }
        })
    }
}

fn breaker(config: ThreeStateConfig) -> Arc<Breaker> {
    let config = Config { kind: Kind::ThreeState(config) };
    Arc::new(Breaker::try_new("user", "GetUser", config, Instant::now().into_std()).unwrap())
}

/// Opens after three failures in a row, for five seconds; two probes.
fn three_in_a_row() -> Arc<Breaker> {
    breaker(ThreeStateConfig { consecutive_failures: Some(3), jitter: 0.0, probes: 2, ..Default::default() })
}

fn state(breaker: &Breaker) -> State {
    breaker.snapshot(Instant::now().into_std()).state
}

fn layer(breaker: &Arc<Breaker>) -> BreakerLayer<impl Fn(&str) -> Option<Arc<Breaker>> + Clone + use<>> {
    let breaker = Arc::clone(breaker);
    BreakerLayer::new(move |path: &str| (path == "/GetUser").then(|| Arc::clone(&breaker)))
}

fn request(path: &str) -> Request<()> {
    Request::builder().uri(path).body(()).unwrap()
}

/// The headers of the answer, and its trailers if it has any.
macro_rules! call {
    ($service:expr) => {
        call!($service, "/GetUser")
    };
    ($service:expr, $path:expr) => {{
        let response = (&mut $service).oneshot(request($path)).await.unwrap();
        let headers = response.headers().clone();
        response.into_body().collect().await.unwrap().trailers().cloned().unwrap_or(headers)
    }};
}

fn status(headers: &HeaderMap) -> Status {
    Status::from_header_map(headers).unwrap()
}

#[tokio::test(start_paused = true)]
async fn failures_open_it_and_the_refusal_says_all_that_a_client_needs() {
    let (peer, breaker) = (Peer::default(), three_in_a_row());
    let mut service = layer(&breaker).layer(peer.service());
    peer.will([FAILED, FAILED, Answer { is_stream: true, ..FAILED }]);
    for _ in 0..3 {
        assert_eq!(status(&call!(service)).code(), Code::Unavailable);
    }
    advance(Duration::from_secs(2)).await;
    let refusal = status(&call!(service));
    assert_eq!((refusal.code(), peer.calls()), (Code::Unavailable, 3));
    assert_eq!(refusal.metadata().get("grpc-retry-pushback-ms").unwrap(), "-1");
    let details = refusal.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "BREAKER_OPEN");
    assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_secs(3)));
    assert_eq!(breaker.snapshot(Instant::now().into_std()).refused_total, 1);
    assert_eq!(status(&call!(service, "/ListUsers")).code(), Code::Ok, "another method is none of its business");
}

#[tokio::test(start_paused = true)]
async fn probes_that_end_well_close_it_and_one_that_is_dropped_gives_its_place_back() {
    let (peer, breaker) = (Peer::default(), three_in_a_row());
    let mut service = layer(&breaker).layer(peer.service());
    peer.will([FAILED, FAILED, FAILED, NEVER, OK]);
    for _ in 0..3 {
        call!(service);
    }
    advance(Duration::from_secs(5)).await;
    let mut waiting = Box::pin((&mut service).oneshot(request("/GetUser")));
    assert!(waiting.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
    drop(waiting);
    // The second is dropped in the middle of its stream.
    drop((&mut service).oneshot(request("/GetUser")).await.unwrap());
    assert_eq!(breaker.snapshot(Instant::now().into_std()).three_state.unwrap().probes_in_flight, 0);
    for expected in [State::HalfOpen, State::Closed] {
        assert_eq!(status(&call!(service)).code(), Code::Ok);
        assert_eq!(state(&breaker), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_as_good_as_its_trailers_and_as_fast_as_its_headers() {
    let config = ThreeStateConfig {
        slow_call: Some(Duration::from_millis(100)),
        calls_min: 2,
        failure_rate: 1.0,
        slow_call_rate: 1.0,
        ..Default::default()
    };
    let (peer, breaker) = (Peer::default(), breaker(config));
    let mut service = layer(&breaker).layer(peer.service());
    let counts = || {
        let snapshot = breaker.snapshot(Instant::now().into_std());
        (snapshot.calls, snapshot.failures, snapshot.three_state.unwrap().slow_calls)
    };
    peer.will([Answer { code: Code::DataLoss, ..OK }, Answer { after_ms: 100, ..OK }]);
    let mut body = (&mut service).oneshot(request("/GetUser")).await.unwrap().into_body();
    advance(Duration::from_secs(1)).await;
    assert!(body.frame().await.unwrap().unwrap().is_data());
    assert_eq!(counts(), (0, 0, 0), "it has not ended");
    assert!(body.frame().await.unwrap().unwrap().is_trailers());
    assert_eq!(counts(), (1, 1, 0), "it took a second, and its headers nothing");
    call!(service);
    assert_eq!(counts(), (2, 1, 1));
    assert_eq!(state(&breaker), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_long_stream_as_the_only_probe_does_not_keep_it_half_open() {
    let breaker = breaker(ThreeStateConfig { consecutive_failures: Some(1), probes: 1, ..Default::default() });
    let peer = Peer::default();
    let mut service = layer(&breaker).layer(peer.service());
    peer.will([FAILED]);
    call!(service);
    advance(Duration::from_secs(5)).await;
    let stream = (&mut service).oneshot(request("/GetUser")).await.unwrap();
    assert_eq!(status(&call!(service)).code(), Code::Unavailable, "its one place is taken");
    advance(Duration::from_secs(10)).await;
    assert_eq!(status(&call!(service)).code(), Code::Ok);
    assert_eq!(state(&breaker), State::Closed);
    drop(stream);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_may_answer_instead() {
    let (peer, breaker) = (Peer::default(), three_in_a_row());
    let cached = layer(&breaker)
        .with_fallback(|call: &Parts, _refusal: &Refusal| call.headers.contains_key("cached").then(|| response(OK)));
    let mut service = cached.layer(peer.service());
    breaker.force(crate::Forced::Open);
    assert_eq!(status(&call!(service)).code(), Code::Unavailable);
    let mut request = request("/GetUser");
    request.headers_mut().insert("cached", "yes".parse().unwrap());
    let answer = (&mut service).oneshot(request).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(status(answer.trailers().unwrap()).code(), Code::Ok);
    assert_eq!(peer.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn codes_mean_what_the_classifier_says() {
    for (outcome, expected) in [(Outcome::CallersFault, State::Closed), (Outcome::Failure, State::Open)] {
        let (peer, breaker) = (Peer::default(), three_in_a_row());
        let classifier = Classifier::new(Direction::Outbound, true).with(Code::NotFound, outcome);
        let mut service = layer(&breaker).with_classifier(move |_: &str| classifier).layer(peer.service());
        peer.will([Answer { code: Code::NotFound, ..FAILED }; 3]);
        for _ in 0..3 {
            call!(service);
        }
        assert_eq!(state(&breaker), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_operator_rules_until_the_reset() {
    let (peer, breaker) = (Peer::default(), three_in_a_row());
    let mut service = layer(&breaker).layer(peer.service());
    let now = || Instant::now().into_std();
    assert_eq!(breaker.command("open"), Ok(()));
    assert!(breaker.is_open(now()));
    assert_eq!(breaker.state()["forced"], "open");
    assert!(status(&call!(service)).get_error_details().retry_info().is_none(), "nobody knows until when");
    for (command, failures) in [("closed", 4), ("disabled", 0)] {
        assert_eq!(breaker.command(command), Ok(()));
        peer.will([FAILED; 4]);
        for _ in 0..4 {
            assert_eq!(status(&call!(service)).code(), Code::Unavailable);
        }
        assert_eq!((breaker.snapshot(now()).failures, state(&breaker)), (failures, State::Closed), "{command}");
    }
    assert_eq!(peer.calls(), 8);
    assert_eq!(breaker.command("reset"), Ok(()));
    peer.will([FAILED; 3]);
    for _ in 0..3 {
        call!(service);
    }
    assert_eq!((state(&breaker), breaker.forced()), (State::Open, None));
    let allowed = "open, closed, disabled, reset";
    assert_eq!(breaker.command("explode"), Err(CommandError::Unknown { allowed }));
}
