//! A server that is offered up to ten times what it can serve, behind the layer, on a paused clock.
//!
//! The server has 16 workers and a queue without an end in front of them; a call takes 50 ms of a
//! worker on average, exponentially distributed, and has a second. Calls come at random: of
//! ten, one is critical, six are default and three sheddable. Nobody tries again. At ten times the
//! capacity the critical calls alone are as many as the server can serve at its best.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use seawall_deadline::{Deadline, EnforceLayer};
use seawall_limit::{ConcurrencyConfig, ConcurrencyLayer, ConcurrencyLimiter};
use seawall_propagation::{Criticality, Propagated};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tower::{Layer as _, Service as _, service_fn};

const WORKERS: usize = 16;
const SERVICE: Duration = Duration::from_millis(50);
const CAPACITY_PER_SECOND: f64 = WORKERS as f64 / 0.050;
const TIMEOUT: Duration = Duration::from_secs(1);
const WARM_UP: Duration = Duration::from_secs(5);
const MEASURED: Duration = Duration::from_secs(30);
const SEED: u64 = 1;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Ended {
    Served,
    Refused,
    Late,
}

#[derive(Debug)]
struct Call {
    criticality: Criticality,
    ended: Ended,
    took: Duration,
}

fn exponential(mean: Duration) -> Duration {
    mean.mul_f64(-(1.0 - fastrand::f64()).ln())
}

/// Offers `load` times the capacity and answers with the calls that came after the warm-up.
async fn offer(load: f64, limiter: Option<Arc<ConcurrencyLimiter>>) -> Vec<Call> {
    fastrand::seed(SEED);
    let workers = Arc::new(Semaphore::new(WORKERS));
    let server = service_fn(move |_: Request<()>| {
        let (workers, service) = (Arc::clone(&workers), exponential(SERVICE));
        async move {
            // What has been begun is finished, as by a database, also when nobody waits for it.
            let work = tokio::spawn(async move {
                let _worker = workers.acquire().await;
                sleep(service).await;
            });
            work.await.expect("no panic");
            let answer = Response::builder().header("grpc-status", "0").body(Full::new(Bytes::new()));
            Ok::<_, Infallible>(answer.expect("a response"))
        }
    });
    let layer = ConcurrencyLayer::new(move |_: &str| limiter.clone(), |_: &str| true)
        .with_deadline(|| Deadline::current().map(Deadline::instant));
    let server = EnforceLayer::new(move |_: &str| Some(TIMEOUT)).layer(layer.layer(server));

    let start = Instant::now();
    let mut calls = JoinSet::new();
    let mut ended = Vec::new();
    let mut next = start;
    while next < start + WARM_UP + MEASURED {
        next += exponential(Duration::from_secs_f64(1.0 / (CAPACITY_PER_SECOND * load)));
        sleep_until(next).await;
        let criticality = match fastrand::u32(0..10) {
            0 => Criticality::Critical,
            1..=6 => Criticality::Default,
            _ => Criticality::Sheddable,
        };
        let mut server = server.clone();
        let is_measured = next > start + WARM_UP;
        let call = async move {
            let start = Instant::now();
            let Ok(answer) = server.call(Request::new(())).await;
            let ended = match answer.headers()["grpc-status"].as_bytes() {
                b"0" => Ended::Served,
                b"14" => Ended::Refused,
                _ => Ended::Late,
            };
            is_measured.then_some(Call { criticality, ended, took: start.elapsed() })
        };
        calls.spawn(Propagated { criticality: Some(criticality), is_retry: false }.scope(call));
        while let Some(call) = calls.try_join_next() {
            ended.extend(call.expect("no panic"));
        }
    }
    while let Some(call) = calls.join_next().await {
        ended.extend(call.expect("no panic"));
    }
    ended
}

/// The figures of a run.
struct Figures {
    goodput: f64,
    served: [f64; 3],
    late: f64,
    p50: Duration,
    p99: Duration,
}

fn figures(calls: &[Call]) -> Figures {
    let count = |is_counted: &dyn Fn(&Call) -> bool| calls.iter().filter(|call| is_counted(call)).count() as f64;
    let served = count(&|call| call.ended == Ended::Served);
    let late = count(&|call| call.ended == Ended::Late);
    let mut latencies: Vec<Duration> =
        calls.iter().filter(|call| call.ended == Ended::Served).map(|call| call.took).collect();
    latencies.sort();
    let percentile =
        |p: f64| latencies.get((latencies.len().saturating_sub(1) as f64 * p) as usize).copied().unwrap_or_default();
    Figures {
        goodput: served / (MEASURED.as_secs_f64() * CAPACITY_PER_SECOND),
        served: Criticality::ALL.map(|of| {
            count(&|call| call.criticality == of && call.ended == Ended::Served) / count(&|call| call.criticality == of)
        }),
        late: late / (served + late),
        p50: percentile(0.5),
        p99: percentile(0.99),
    }
}

async fn table(name: &str, loads: &[f64], limiter: impl Fn() -> Option<Arc<ConcurrencyLimiter>>) -> Vec<Figures> {
    println!("{name}\n load  goodput  critical  default  sheddable   late   p50   p99 of served  limit");
    let mut rows = Vec::new();
    for load in loads {
        let limiter = limiter();
        let row = figures(&offer(*load, limiter.clone()).await);
        let limit = limiter.map_or(0, |limiter| limiter.snapshot(Instant::now().into_std()).limit);
        println!(
            "{load:4}x {:7.1} % {:7.2} % {:6.1} % {:8.1} % {:6.2} % {:5} ms {:9} ms {limit:7}",
            row.goodput * 100.0,
            row.served[2] * 100.0,
            row.served[1] * 100.0,
            row.served[0] * 100.0,
            row.late * 100.0,
            row.p50.as_millis(),
            row.p99.as_millis()
        );
        rows.push(row);
    }
    rows
}

fn limiter() -> Option<Arc<ConcurrencyLimiter>> {
    Some(Arc::new(ConcurrencyLimiter::try_new(ConcurrencyConfig::default()).expect("a valid configuration")))
}

#[tokio::test(start_paused = true)]
async fn goodput_stays_and_critical_calls_are_served_up_to_ten_times_the_capacity() {
    let loads = [1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 10.0];
    let rows = table("behind the layer", &loads, limiter).await;
    let peak = rows.iter().map(|row| row.goodput).fold(0.0, f64::max);
    for (load, row) in loads.iter().zip(&rows) {
        assert!(row.goodput >= 0.9 * peak, "{load}x: {} of {peak}", row.goodput);
        // Of those let in, so the 99th percentile is within the deadline also with those cut off at it.
        assert!(row.late <= 0.01, "{load}x: {} of those let in are late", row.late);
        // At ten times, the critical calls alone are all that the server can serve: what is lost is
        // what chance brings over that, for longer than they may wait.
        let least = if *load < 10.0 { 0.999 } else { 0.98 };
        assert!(row.served[2] >= least, "{load}x: {} of the critical calls are served", row.served[2]);
        assert!(row.served.is_sorted(), "{load}x: {:?}", row.served);
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_layer_nothing_is_served_in_time() {
    let rows = table("without the layer", &[2.0, 10.0], || None).await;
    assert!(rows.iter().all(|row| row.goodput < 0.05));
}
