//! A burst against a limit on the rate, while other calls go on coming: how many calls pass, and what
//! those that do not find when they come again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use seawall_limit::{RateConfig, RateKind, RateLayer, RateLimiter};
use seawall_propagation::PREVIOUS_ATTEMPTS;
use seawall_retry::GRPC_RETRY_PUSHBACK_MS;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt as _, service_fn};
use tower_resilience::ratelimiter::{RateLimiterConfigBuilder, RateLimiterLayer, RateLimiterServiceError, WindowType};

use crate::clock::simulate;
use crate::grpc::{PATH, is_failure};
use crate::table;

const PER_SECOND: u32 = 100;
/// What a full bucket lets pass at once.
const BUCKET: u32 = 200;
/// Callers that come at the same time.
const CALLERS: u32 = 500;
/// Callers that come one after the other, half as fast as the limit, before the burst and after it.
const OTHERS_PER_SECOND: u32 = 50;
/// Not whole seconds, so that the burst falls near the end of a window of one.
const BEFORE: Duration = Duration::from_millis(5_900);
const AFTER: Duration = Duration::from_secs(15);
/// As gRPC has it: no call is tried more often.
const ATTEMPTS_MAX: u32 = 5;
/// The longest that a call and its answer are on their way.
const ON_THE_WAY: Duration = Duration::from_millis(20);

/// What a try finds.
enum Answer {
    Passed,
    /// With the time to come back, of which a negative one means never.
    Refused(Option<i64>),
}

/// A service behind a limit. Some refuse with a response, some with an error.
type Limited = BoxCloneSyncService<Request<Body>, Answer, Answer>;

/// When calls have passed.
type Passed = Arc<Mutex<Vec<Instant>>>;

fn service(passed: Passed) -> BoxCloneSyncService<Request<Body>, Response<Body>, Status> {
    BoxCloneSyncService::new(service_fn(move |_: Request<Body>| {
        passed.lock().expect("no panic").push(Instant::now());
        async { Ok(Status::new(Code::Ok, "").into_http()) }
    }))
}

fn ours(passed: Passed, kind: RateKind) -> Limited {
    let config = RateConfig {
        rate_per_second: PER_SECOND.into(),
        burst: BUCKET,
        kind,
        key: Vec::new(),
        ..RateConfig::default()
    };
    let limiter = RateLimiter::try_new("calls", config, None, Instant::now().into_std()).expect("a valid config");
    let limiter = Arc::new(limiter);
    let limited = RateLayer::new(move |_: &str| Some(Arc::clone(&limiter))).layer(service(passed));
    let answer = |response: Response<Body>| {
        let pushback = response.headers().get(GRPC_RETRY_PUSHBACK_MS);
        let pushback_ms = pushback.map(|value| value.to_str().expect("text").parse().expect("a number"));
        if is_failure(&response) { Answer::Refused(pushback_ms) } else { Answer::Passed }
    };
    BoxCloneSyncService::new(
        limited.map_response(answer).map_err(|status| panic!("a service that does not fail: {status}")),
    )
}

fn theirs(passed: Passed, builder: RateLimiterConfigBuilder) -> Limited {
    let limited = builder.build().expect("a valid config").layer(service(passed));
    BoxCloneSyncService::new(limited.map_response(|_| Answer::Passed).map_err(|error| match error {
        RateLimiterServiceError::RateLimited => Answer::Refused(None),
        RateLimiterServiceError::Inner(status) => panic!("a service that does not fail: {status}"),
    }))
}

/// What a caller does that is refused.
#[derive(Clone, Copy, PartialEq)]
enum Caller {
    /// Comes back when it is told to, as gRPC's clients do, and backs off if it is not told.
    Obeys,
    /// Backs off, and does not hear what it is told.
    BacksOff,
}

/// The tries of a caller.
#[derive(Debug, Default)]
struct Tries {
    made: u32,
    /// After which time the call has passed, if it has.
    passed_after: Option<Duration>,
}

async fn call(limited: Limited, caller: Caller) -> Tries {
    let start = Instant::now();
    for attempt in 0..ATTEMPTS_MAX {
        let mut request = Request::post(PATH).body(Body::empty()).expect("a request");
        if attempt > 0 {
            request.headers_mut().insert(PREVIOUS_ATTEMPTS, attempt.into());
        }
        let made = attempt + 1;
        let pushback_ms = match limited.clone().oneshot(request).await {
            Ok(Answer::Passed) | Err(Answer::Passed) => return Tries { made, passed_after: Some(start.elapsed()) },
            Ok(Answer::Refused(pushback_ms)) | Err(Answer::Refused(pushback_ms)) => {
                pushback_ms.filter(|_| caller == Caller::Obeys)
            }
        };
        let after = match pushback_ms.map(u64::try_from) {
            Some(Ok(ms)) => Duration::from_millis(ms),
            Some(Err(_)) => return Tries { made, passed_after: None },
            // That of gRPC, and of tower-resilience's `exponential_backoff()`.
            None => Duration::from_millis(100 << attempt).mul_f64(0.8 + 0.4 * fastrand::f64()),
        };
        sleep(after + ON_THE_WAY.mul_f64(fastrand::f64())).await;
    }
    Tries { made: ATTEMPTS_MAX, passed_after: None }
}

/// Something to try.
struct Subject {
    what: &'static str,
    make: fn(Passed) -> Limited,
    caller: Caller,
    /// What the documentation says that may pass above the rate, in any time.
    above_rate: u32,
}

fn subjects() -> Vec<Subject> {
    let subject = |what, above_rate, caller, make| Subject { what, make, caller, above_rate };
    vec![
        subject(
            "Seawall: token bucket, callers obey its push-back",
            BUCKET + PER_SECOND / 10,
            Caller::Obeys,
            |passed| ours(passed, RateKind::TokenBucket),
        ),
        subject("Seawall: token bucket, callers back off", BUCKET + PER_SECOND / 10, Caller::BacksOff, |passed| {
            ours(passed, RateKind::TokenBucket)
        }),
        subject("Seawall: leaky bucket, 500 may wait", BUCKET + PER_SECOND / 10, Caller::Obeys, |passed| {
            ours(passed, RateKind::LeakyBucket { queue_max: 500 })
        }),
        subject("tower-resilience: `burst()`, callers back off", BUCKET, Caller::BacksOff, |passed| {
            theirs(passed, RateLimiterLayer::burst(100, 100))
        }),
        subject("tower-resilience: `burst()`, waits up to 5 s", BUCKET, Caller::BacksOff, |passed| {
            theirs(passed, RateLimiterLayer::burst(100, 100).timeout_duration(Duration::from_secs(5)))
        }),
        subject("tower-resilience: `per_second()`, callers back off", 2 * PER_SECOND, Caller::BacksOff, |passed| {
            theirs(passed, RateLimiterLayer::per_second(100))
        }),
        subject("tower-resilience: `SlidingCounter`, callers back off", PER_SECOND, Caller::BacksOff, |passed| {
            theirs(passed, RateLimiterLayer::per_second(100).window_type(WindowType::SlidingCounter))
        }),
        subject("tower-resilience: `SlidingLog`, callers back off", PER_SECOND, Caller::BacksOff, |passed| {
            theirs(passed, RateLimiterLayer::per_second(100).window_type(WindowType::SlidingLog))
        }),
    ]
}

/// The most calls that have passed in any time, above what the rate makes of that time.
fn above_rate(passed: &[Instant]) -> f64 {
    let Some(first) = passed.first() else { return 0.0 };
    let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
    for (calls, at) in passed.iter().enumerate() {
        let above = calls as f64 - at.duration_since(*first).as_secs_f64() * f64::from(PER_SECOND);
        least = least.min(above);
        most = most.max(above + 1.0 - least);
    }
    most
}

/// How many of them have passed, in per cent.
fn share(callers: &[Tries]) -> f64 {
    callers.iter().filter(|tries| tries.passed_after.is_some()).count() as f64 / callers.len() as f64 * 100.0
}

fn row(subject: &Subject) -> [String; 8] {
    let (burst, others, passed) = simulate(async {
        fastrand::seed(7);
        let passed = Passed::default();
        let limited = (subject.make)(Arc::clone(&passed));
        let start = Instant::now();
        let (mut burst, mut others) = (JoinSet::new(), JoinSet::new());
        let mut next = start;
        while next < start + BEFORE + AFTER {
            sleep_until(next).await;
            if next >= start + BEFORE && burst.is_empty() {
                (0..CALLERS).for_each(|_| _ = burst.spawn(call(limited.clone(), subject.caller)));
            }
            others.spawn(call(limited.clone(), subject.caller));
            next += Duration::from_secs(1) / OTHERS_PER_SECOND;
        }
        let (burst, others) = (burst.join_all().await, others.join_all().await);
        let passed = passed.lock().expect("no panic").clone();
        (burst, others, passed)
    });
    let again: u32 = burst.iter().chain(&others).map(|tries| tries.made - 1).sum();
    let refused_again: u32 = burst
        .iter()
        .chain(&others)
        .map(|tries| if tries.passed_after.is_some() { tries.made.saturating_sub(2) } else { tries.made - 1 })
        .sum();
    let last = burst.iter().filter_map(|tries| tries.passed_after).max().unwrap_or_default();
    [
        subject.what.to_owned(),
        format!("{:.0}", above_rate(&passed)),
        subject.above_rate.to_string(),
        again.to_string(),
        refused_again.to_string(),
        format!("{:.0} %", share(&burst)),
        format!("{:.1} s", last.as_secs_f64()),
        format!("{:.0} %", share(&others)),
    ]
}

/// Runs all, and prints the table.
pub(crate) fn run() {
    println!(
        "## (d) {CALLERS} callers at once against {PER_SECOND} calls a second, while {OTHERS_PER_SECOND} others a second come\n"
    );
    let heads = [
        "",
        "passed above rate × time",
        "documented",
        "further tries",
        "of these refused",
        "of the burst passed",
        "the last after",
        "of the others passed",
    ];
    table::print(heads, &subjects().iter().map(row).collect::<Vec<_>>());
}
