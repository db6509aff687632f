//! One of five endpoints falls ill, and gets well again.

use std::time::Duration;

use seawall_balance::{Config, Static};
use seawall_deadline::{BoundLayer, ForwardLayer};
use tokio::time::{Instant, sleep, sleep_until};
use tonic::Code;
use tower::ServiceBuilder;

use crate::fake::{Client, Fleet, Mode, SERVES, addresses, call, request};

const HOSTS: [&str; 5] = ["e1:80", "e2:80", "e3:80", "e4:80", "e5:80"];
const INTERVAL: Duration = Duration::from_secs(10);
const DEADLINE: Duration = Duration::from_secs(1);

/// What became of the calls that began in some part of the run.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    calls: u32,
    failed: u32,
}

impl Tally {
    fn success_percent(self) -> f64 {
        100.0 - f64::from(self.failed) * 100.0 / f64::from(self.calls.max(1))
    }
}

struct Run {
    /// From falling ill to the first ejection.
    ejected_after: Option<Duration>,
    until_ejected: Tally,
    /// From then until the endpoint is well.
    after: Tally,
    /// From getting well to the first call that it serves, being in use.
    back_after: Option<Duration>,
    /// In the last 30 s of the run, which is a fifth if all are alike.
    share_at_last: f64,
}

/// A steady `rate` of calls: 20 s in which all are well, 100 s in which one is ill, and 120 s more.
/// The deadline is outside of the balancer: a late call is dropped.
async fn run(ill: Mode, rate: u32) -> Run {
    let fleet = Fleet::default();
    let client = fleet.balance(Config::default(), Static::new(addresses(&HOSTS)));
    let stack = ServiceBuilder::new()
        .layer(BoundLayer::new(|_: &str| DEADLINE))
        .layer(ForwardLayer::new(Duration::from_millis(5)))
        .service(client.clone());
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let (falls_ill, gets_well, end) = (at(20), at(120), at(240));

    let watcher = {
        let fleet = fleet.clone();
        tokio::spawn(async move {
            sleep_until(falls_ill).await;
            fleet.at(HOSTS[2]).set(ill);
            let ejected = until(end, || is_ejected(&client)).await;
            sleep_until(gets_well).await;
            fleet.at(HOSTS[2]).set(SERVES);
            let calls = fleet.at(HOSTS[2]).calls();
            let back = until(end, || !is_ejected(&client) && fleet.at(HOSTS[2]).calls() > calls).await;
            sleep_until(end - Duration::from_secs(30)).await;
            let before = fleet.calls();
            sleep_until(end).await;
            let grown: Vec<u64> = fleet.calls().iter().zip(before).map(|(now, before)| now - before).collect();
            let share = grown[2] as f64 / grown.iter().sum::<u64>() as f64;
            (ejected, back, share)
        })
    };
    let mut calls = Vec::new();
    while Instant::now() < end {
        let stack = stack.clone();
        calls.push((Instant::now(), tokio::spawn(async move { call(stack, request()).await })));
        sleep(Duration::from_secs(1) / rate).await;
    }
    let (ejected, back, share_at_last) = watcher.await.unwrap();
    let (mut until_ejected, mut after) = (Tally::default(), Tally::default());
    for (began, code) in calls {
        let is_failed = code.await.unwrap() != Code::Ok;
        assert!(!is_failed || began >= falls_ill - DEADLINE, "failed while all were well");
        assert!(!is_failed || began < gets_well, "failed after all were well");
        if (falls_ill..gets_well).contains(&began) {
            let tally = if ejected.is_some_and(|at| began >= at) { &mut after } else { &mut until_ejected };
            tally.calls += 1;
            tally.failed += u32::from(is_failed);
        }
    }
    Run {
        ejected_after: ejected.map(|at| at - falls_ill),
        until_ejected,
        after,
        back_after: back.map(|at| at - gets_well),
        share_at_last,
    }
}

fn is_ejected(client: &Client) -> bool {
    client.snapshot(Instant::now().into_std()).endpoints[2].ejected_for_ms.is_some()
}

async fn until(end: Instant, is_so: impl Fn() -> bool) -> Option<Instant> {
    while !is_so() {
        if Instant::now() >= end {
            return None;
        }
        sleep(Duration::from_millis(20)).await;
    }
    Some(Instant::now())
}

async fn survives(name: &str, ill: Mode, rate: u32) -> Run {
    fastrand::seed(u64::from(rate));
    let run = run(ill, rate).await;
    println!(
        "{name:11} {rate:4}/s: ejected after {:5.2} s ({} of {} failed until then), success after that {:.3} % \
         ({} of {} failed), back {:4.1} s after it is well, share at last {:.1} %",
        run.ejected_after.unwrap_or_default().as_secs_f64(),
        run.until_ejected.failed,
        run.until_ejected.calls,
        run.after.success_percent(),
        run.after.failed,
        run.after.calls,
        run.back_after.unwrap_or_default().as_secs_f64(),
        run.share_at_last * 100.0,
    );
    assert!(run.ejected_after.is_some_and(|after| after <= INTERVAL * 2), "not ejected in time");
    assert!(run.back_after.is_some_and(|after| after <= Duration::from_secs(90)), "not back");
    assert!((0.16..0.24).contains(&run.share_at_last), "not back to its share");
    run
}

#[tokio::test(start_paused = true)]
async fn one_of_five_is_late_or_fails_or_swallows_all_calls() {
    for (name, ill) in [
        ("slow", Mode::Serves(Duration::from_secs(3))),
        ("erroring", Mode::Answers(Code::Unavailable)),
        ("black-holed", Mode::Swallows),
    ] {
        for rate in [50, 200] {
            let run = survives(name, ill, rate).await;
            assert!(run.after.success_percent() >= 99.9, "too many fail after the ejection");
        }
    }
}

/// It needs the volume of the success-rate algorithm, each time that it has been let back.
#[tokio::test(start_paused = true)]
async fn one_of_five_fails_half_of_its_calls() {
    let run = survives("half", Mode::FailsHalf, 200).await;
    assert!(run.after.success_percent() >= 95.0, "too many fail after the ejection");
}

/// A slow endpoint that still is in time is no outlier, and gets few calls.
#[tokio::test(start_paused = true)]
async fn one_of_five_is_slow_but_in_time() {
    fastrand::seed(1);
    let fleet = Fleet::default();
    let client = fleet.balance(Config::default(), Static::new(addresses(&HOSTS)));
    fleet.at(HOSTS[2]).set(Mode::Serves(Duration::from_millis(500)));
    let mut calls = Vec::new();
    for _ in 0..200 * 30 {
        let client = client.clone();
        calls.push(tokio::spawn(async move { call(client, request()).await }));
        sleep(Duration::from_millis(5)).await;
    }
    for code in calls {
        assert_eq!(code.await.unwrap(), Code::Ok);
    }
    let counts = fleet.calls();
    println!("one of five takes 500 ms instead of 10 ms: calls {counts:?} of 6000 in 30 s");
    // One each second, because it is to be noticed when it is fast again.
    assert!((15..60).contains(&counts[2]) && !is_ejected(&client), "{counts:?}");
}
