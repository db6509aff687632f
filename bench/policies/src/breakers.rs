//! A peer that has been well fails every call: when does its breaker open, and what gets through to it
//! when the breaker tries again and a thousand callers are there.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use seawall_breaker::{AdaptiveConfig, Breaker, BreakerLayer, Config, Kind, ThreeStateConfig};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tonic::Status;
use tonic::body::Body;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt as _};
use tower_resilience::circuitbreaker::{CircuitBreakerLayer, SlidingWindowType};

use crate::clock::simulate;
use crate::grpc::{PATH, is_failure};
use crate::guard::guard;
use crate::table;

const PER_SECOND: u32 = 100;
const LATENCY: Duration = Duration::from_millis(5);
const CALLERS: usize = 1_000;
/// How long the peer was well before, in seconds.
const WELL: [u64; 2] = [10, 600];
/// For how long a breaker is given the time to open.
const PATIENCE: Duration = Duration::from_secs(60);

/// The peer. A call while it fails is a failure of either kind, so that each breaker can see it.
#[derive(Debug, Default)]
struct Peer {
    is_down: AtomicBool,
    is_slow: AtomicBool,
    calls: AtomicU32,
    in_flight: AtomicU32,
    in_flight_max: AtomicU32,
}

impl Peer {
    fn forget(&self) {
        self.calls.store(0, Ordering::Relaxed);
        self.in_flight_max.store(0, Ordering::Relaxed);
    }
}

#[derive(Debug, Clone)]
struct Way {
    peer: Arc<Peer>,
    /// Whether a failure is an `Err`; it is a response otherwise, as on the wire.
    fails_as_error: bool,
}

impl Service<Request<Body>> for Way {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<Body>) -> Self::Future {
        let Self { peer, fails_as_error } = self.clone();
        Box::pin(async move {
            peer.calls.fetch_add(1, Ordering::Relaxed);
            let in_flight = peer.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
            peer.in_flight_max.fetch_max(in_flight, Ordering::Relaxed);
            let is_slow = peer.is_slow.load(Ordering::Relaxed);
            sleep(if is_slow { Duration::from_secs(1) } else { LATENCY }).await;
            peer.in_flight.fetch_sub(1, Ordering::Relaxed);
            match (peer.is_down.load(Ordering::Relaxed), fails_as_error) {
                (true, true) => Err(Status::unavailable("down")),
                (true, false) => Ok(Status::unavailable("down").into_http()),
                (false, _) => Ok(Status::new(tonic::Code::Ok, "").into_http()),
            }
        })
    }
}

/// A way to the peer through a breaker. What is refused does not matter, only what the peer sees.
type Guarded = BoxCloneSyncService<Request<Body>, (), ()>;

fn boxed<S, B, E>(service: S) -> Guarded
where
    S: Service<Request<Body>, Response = Response<B>, Error = E, Future: Send> + Clone + Send + Sync + 'static,
    B: 'static,
    E: 'static,
{
    BoxCloneSyncService::new(service.map_response(drop).map_err(drop))
}

fn ours(way: Way, kind: Kind) -> Guarded {
    let now = Instant::now().into_std();
    let breaker = Arc::new(Breaker::try_new("peer", "GetOrder", Config { kind }, now).expect("a valid config"));
    boxed(BreakerLayer::new(move |_: &str| Some(Arc::clone(&breaker))).layer(way))
}

/// A breaker of tower-resilience, told what a failure is as it is in gRPC.
macro_rules! theirs {
    ($way:expr, $builder:expr) => {
        boxed(
            $builder
                .failure_classifier(|result: &Result<Response<Body>, Status>| result.as_ref().map_or(true, is_failure))
                .build()
                .expect("a valid config")
                .layer($way),
        )
    };
}

/// A breaker to try.
struct Subject {
    what: &'static str,
    make: fn(Way) -> Guarded,
    fails_as_error: bool,
    /// After this it is surely ready to try again: the first time, and the second.
    open_time: [Duration; 2],
}

fn subjects() -> [Subject; 6] {
    let seconds = |first, second| [Duration::from_secs(first), Duration::from_secs(second)];
    let subject = |what, open_time, make| Subject { what, make, fails_as_error: false, open_time };
    [
        subject("Seawall: adaptive", seconds(5, 5), |way| ours(way, Kind::Adaptive(AdaptiveConfig::default()))),
        subject("Seawall: three states", seconds(5, 10), |way| {
            ours(way, Kind::ThreeState(ThreeStateConfig::default()))
        }),
        subject("tower-resilience: `standard()`", seconds(30, 30), |way| theirs!(way, CircuitBreakerLayer::standard())),
        subject("tower-resilience: `TimeBased`, 10 s, 20 calls", seconds(30, 30), |way| {
            let builder = CircuitBreakerLayer::standard()
                .sliding_window_type(SlidingWindowType::TimeBased)
                .sliding_window_duration(Duration::from_secs(10))
                .minimum_number_of_calls(20);
            theirs!(way, builder)
        }),
        subject("tower-resilience: `consecutive_failures(5)`", seconds(30, 30), |way| {
            theirs!(way, CircuitBreakerLayer::standard().consecutive_failures(5))
        }),
        Subject {
            what: "failsafe: `Config::new()`",
            make: |way| boxed(guard(way)),
            fails_as_error: true,
            open_time: seconds(11, 21),
        },
    ]
}

fn request() -> Request<Body> {
    Request::post(PATH).body(Body::empty()).expect("a request")
}

/// Calls, one call after the other, until the time is over or a call has been refused; returns after how
/// long that was, if it was.
async fn call_for(time: Duration, peer: &Peer, way: &Guarded, until_refused: bool) -> Option<Duration> {
    let start = Instant::now();
    while start.elapsed() < time {
        let (before, sent) = (peer.calls.load(Ordering::Relaxed), Instant::now());
        _ = way.clone().oneshot(request()).await;
        if until_refused && peer.calls.load(Ordering::Relaxed) == before {
            return Some(sent - start);
        }
        tokio::time::sleep_until(sent + Duration::from_secs(1) / PER_SECOND).await;
    }
    None
}

/// All call at once; returns how many got through, and how many of them at a time.
async fn all_call(peer: &Peer, way: &Guarded) -> Herd {
    peer.forget();
    peer.is_slow.store(true, Ordering::Relaxed);
    let callers: JoinSet<_> = (0..CALLERS).map(|_| way.clone().oneshot(request())).collect();
    callers.join_all().await;
    peer.is_slow.store(false, Ordering::Relaxed);
    assert!(peer.in_flight_max.load(Ordering::Relaxed) == peer.calls.load(Ordering::Relaxed), "they all came at once");
    Herd(peer.calls.load(Ordering::Relaxed))
}

/// How many of the callers got through.
struct Herd(u32);

impl fmt::Display for Herd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// From when the peer fails until the first refusal, and the failed calls of the first ten seconds.
fn opening(subject: &Subject, well: u64) -> String {
    simulate(async {
        fastrand::seed(7);
        let peer = Arc::new(Peer::default());
        let way = (subject.make)(Way { peer: Arc::clone(&peer), fails_as_error: subject.fails_as_error });
        call_for(Duration::from_secs(well), &peer, &way, false).await;
        peer.forget();
        peer.is_down.store(true, Ordering::Relaxed);
        match call_for(PATIENCE, &peer, &way, true).await {
            Some(after) => format!("{:.2} s", after.as_secs_f64()),
            None => format!("not in {} s", PATIENCE.as_secs()),
        }
    })
}

/// How many of the calls of a minute without a good one reach the peer, in per cent.
fn leak(subject: &Subject) -> String {
    simulate(async {
        fastrand::seed(7);
        let peer = Arc::new(Peer::default());
        let way = (subject.make)(Way { peer: Arc::clone(&peer), fails_as_error: subject.fails_as_error });
        call_for(Duration::from_secs(10), &peer, &way, false).await;
        peer.forget();
        peer.is_down.store(true, Ordering::Relaxed);
        call_for(PATIENCE, &peer, &way, false).await;
        let calls = PATIENCE.as_secs_f64() * f64::from(PER_SECOND);
        format!("{:.1} %", f64::from(peer.calls.load(Ordering::Relaxed)) / calls * 100.0)
    })
}

/// How many of a thousand get through when the breaker first tries again, while the peer is down, and
/// then when it is back.
fn herds(subject: &Subject) -> [String; 3] {
    simulate(async {
        fastrand::seed(7);
        let peer = Arc::new(Peer::default());
        let way = (subject.make)(Way { peer: Arc::clone(&peer), fails_as_error: subject.fails_as_error });
        peer.is_down.store(true, Ordering::Relaxed);
        call_for(PATIENCE, &peer, &way, true).await.expect("a breaker that opens");
        sleep(subject.open_time[0]).await;
        let down = all_call(&peer, &way).await;
        sleep(subject.open_time[1]).await;
        peer.is_down.store(false, Ordering::Relaxed);
        let back = all_call(&peer, &way).await;
        let after = all_call(&peer, &way).await;
        [down, back, after].map(|herd| herd.to_string())
    })
}

/// Runs all, and prints the tables.
pub(crate) fn run() {
    println!("## (e) A peer that fails every call, {PER_SECOND} calls a second\n");
    let [short, long] = WELL;
    let rows: Vec<_> = subjects()
        .iter()
        .map(|subject| {
            let [down, back, after] = herds(subject);
            let [soon, late] = WELL.map(|well| opening(subject, well));
            [subject.what.to_owned(), soon, late, leak(subject), down, back, after]
        })
        .collect();
    let heads = [
        "".to_owned(),
        format!("first refusal, well for {short} s"),
        format!("well for {long} s"),
        format!("let through in {} s", PATIENCE.as_secs()),
        format!("of {CALLERS}: still down"),
        "back".to_owned(),
        "after that".to_owned(),
    ];
    table::print(std::array::from_fn(|head| heads[head].as_str()), &rows);
}
