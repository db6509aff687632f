//! More calls than a server can serve: how many of them are served in time, how late, and which ones.
//!
//! The server has a number of workers and a queue without an end before them, and finishes what has
//! reached it. Callers come at random, do not try again, and are gone after [`TIMEOUT`]: a call that
//! waits before the server, in a layer, is dropped then.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use fastrand::Rng;
use http::{Request, Response};
use seawall_deadline::{Deadline, EnforceLayer};
use seawall_limit::{Algorithm, ConcurrencyConfig, ConcurrencyLayer, ConcurrencyLimiter, FixedConfig, VegasConfig};
use seawall_propagation::{CRITICALITY, Criticality, InboundLayer};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::Status;
use tonic::body::Body;
use tower::load_shed::LoadShedLayer;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceBuilder, ServiceExt as _, service_fn};
use tower_resilience::adaptive::{AdaptiveLimiterLayer, Aimd, Vegas};
use tower_resilience::bulkhead::BulkheadLayer;

use crate::clock::simulate;
use crate::grpc::{PATH, is_failure};
use crate::table;

/// How long a caller waits for its answer.
const TIMEOUT: Duration = Duration::from_millis(500);
/// The limits are found in this time, and the calls of it do not count.
const WARM_UP: Duration = Duration::from_secs(10);
const MEASURED: Duration = Duration::from_secs(30);
/// How many calls come, as multiples of what the server can serve.
const LOADS: [f64; 5] = [0.8, 1.0, 2.0, 5.0, 10.0];
/// What the calls are: so many of a hundred are critical, so many more can be shed.
const CRITICAL: u8 = 5;
const SHEDDABLE: u8 = 20;

/// A server.
#[derive(Debug, Clone, Copy)]
struct Server {
    workers: usize,
    /// What a call needs of a worker at least.
    fixed_ms: u32,
    /// The mean of what it needs above that, geometrically distributed in whole milliseconds.
    varying_ms: u32,
}

const SERVERS: [Server; 3] = [
    Server { workers: 8, fixed_ms: 5, varying_ms: 5 },
    Server { workers: 64, fixed_ms: 25, varying_ms: 25 },
    Server { workers: 64, fixed_ms: 0, varying_ms: 50 },
];

impl Server {
    fn capacity_per_ms(self) -> f64 {
        self.workers as f64 / f64::from(self.fixed_ms + self.varying_ms)
    }

    /// A latency that only one call of a hundred exceeds while nothing waits.
    fn p99(self) -> Duration {
        let [fixed, varying] = [self.fixed_ms, self.varying_ms].map(|ms| Duration::from_millis(ms.into()));
        fixed + varying.mul_f64(100_f64.ln())
    }

    /// What a call needs of a worker.
    fn work(self, rng: &mut Rng) -> Duration {
        let goes_on = 1.0 - 1.0 / f64::from(self.varying_ms);
        let varying_ms = ((1.0 - rng.f64()).ln() / goes_on.ln()).ceil().max(1.0);
        Duration::from_millis(u64::from(self.fixed_ms) + varying_ms as u64)
    }
}

/// How long the workers need for a call, in the request's extensions.
#[derive(Debug, Clone, Copy)]
struct Work(Duration);

/// What the server does for a call.
#[derive(Debug, Clone)]
struct Handler {
    workers: Arc<Semaphore>,
}

impl Service<Request<Body>> for Handler {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let workers = Arc::clone(&self.workers);
        Box::pin(async move {
            let Work(time) = request.extensions().get().copied().expect("a call with work");
            // What has been begun is finished, as by a database, also when nobody waits for it.
            let work = tokio::spawn(async move {
                let _worker = workers.acquire_owned().await.expect("an open semaphore");
                sleep(time).await;
            });
            work.await.expect("work");
            Ok(Status::new(tonic::Code::Ok, "").into_http())
        })
    }
}

/// A server with what stands before it; says whether a call was served.
type Limited = BoxCloneSyncService<Request<Body>, bool, ()>;

fn boxed<S, B, E>(service: S) -> Limited
where
    S: Service<Request<Body>, Response = Response<B>, Error = E, Future: Send> + Clone + Send + Sync + 'static,
    B: 'static,
    E: 'static,
{
    BoxCloneSyncService::new(service.map_response(|response| !is_failure(&response)).map_err(drop))
}

/// With the layers of Seawall's server that have to do with this, in its order.
fn ours(algorithm: Algorithm, handler: Handler) -> Limited {
    let config = ConcurrencyConfig { algorithm, ..ConcurrencyConfig::default() };
    let limiter = Arc::new(ConcurrencyLimiter::try_new(config).expect("a valid config"));
    let limited = ConcurrencyLayer::new(move |_: &str| Some(Arc::clone(&limiter)), |_: &str| true);
    boxed(
        ServiceBuilder::new()
            .layer(InboundLayer::new(|_: &str| None))
            .layer(EnforceLayer::new(|_: &str| None))
            .layer(limited.with_deadline(|| Deadline::current().map(Deadline::instant)))
            .service(handler),
    )
}

/// Makes a call wait for a while, as the documentation of tower-resilience has it.
fn bulkhead(calls: usize) -> BulkheadLayer {
    let wait = Duration::from_millis(100);
    BulkheadLayer::builder().max_concurrent_calls(calls).max_wait_duration(wait).build().expect("a valid config")
}

/// With its own threshold, or the 99th percentile of the latency where that is more: its documentation
/// warns of a lower one.
fn aimd(server: Server) -> AdaptiveLimiterLayer<Aimd> {
    let threshold = server.p99().max(Duration::from_millis(100));
    AdaptiveLimiterLayer::new(Aimd::builder().latency_threshold(threshold).build().expect("a valid config"))
}

/// Two bulkheads, as tower-resilience recommends where some calls are more critical than others. They
/// are more places than workers, so that no worker is kept for critical calls that do not come.
fn by_priority(server: Server, handler: &Handler) -> Limited {
    let critical = bulkhead(server.workers / 2).layer(handler.clone());
    let others = bulkhead(server.workers).layer(handler.clone());
    boxed(service_fn(move |request: Request<Body>| {
        let is_critical = request.headers().get(CRITICALITY).is_some_and(|value| value == "critical");
        if is_critical { critical.clone() } else { others.clone() }.oneshot(request)
    }))
}

/// Something to try.
struct Subject {
    what: &'static str,
    make: fn(Server, Handler) -> Limited,
}

fn subjects() -> Vec<Subject> {
    let subject = |what, make| Subject { what, make };
    vec![
        subject("no limit", |_, handler| boxed(handler)),
        subject("Seawall: Gradient2, the default", |_, handler| ours(Algorithm::default(), handler)),
        subject("Seawall: Vegas", |_, handler| ours(Algorithm::Vegas(VegasConfig::default()), handler)),
        subject("Seawall: fixed, of all workers", |server, handler| {
            ours(Algorithm::Fixed(FixedConfig { limit: server.workers as u32 }), handler)
        }),
        subject("tower-resilience: adaptive `Aimd`", |server, handler| boxed(aimd(server).layer(handler))),
        subject("tower-resilience: adaptive `Aimd`, `load_shed`", |server, handler| {
            boxed(LoadShedLayer::new().layer(aimd(server).layer(handler)))
        }),
        subject("tower-resilience: adaptive `Vegas`, `load_shed`", |_, handler| {
            let vegas = Vegas::builder().build().expect("a valid config");
            boxed(LoadShedLayer::new().layer(AdaptiveLimiterLayer::new(vegas).layer(handler)))
        }),
        subject("tower-resilience: bulkhead `large()`", |_, handler| {
            boxed(BulkheadLayer::large().build().expect("a valid config").layer(handler))
        }),
        subject("tower-resilience: bulkhead of all workers", |server, handler| {
            boxed(bulkhead(server.workers).layer(handler))
        }),
        subject("tower-resilience: a bulkhead for each priority", |server, handler| by_priority(server, &handler)),
    ]
}

/// What became of a call.
#[derive(Debug, Clone, Copy)]
struct Call {
    is_critical: bool,
    /// If it was served in time.
    latency: Option<Duration>,
}

fn request(rng: &mut Rng, server: Server) -> (Request<Body>, bool) {
    let kind = rng.u8(..100);
    let criticality = match kind {
        0..CRITICAL => Criticality::Critical,
        kind if kind < CRITICAL + SHEDDABLE => Criticality::Sheddable,
        _ => Criticality::Default,
    };
    let request = Request::post(PATH)
        .header(CRITICALITY, criticality.as_str())
        .header("grpc-timeout", format!("{}m", TIMEOUT.as_millis()))
        .extension(Work(server.work(rng)))
        .body(Body::empty())
        .expect("a request");
    (request, criticality == Criticality::Critical)
}

/// How many calls come in a time in which so many come on average (Knuth's way to a Poisson number).
fn poisson(rng: &mut Rng, mean: f64) -> u32 {
    let (least, mut product, mut calls) = ((-mean).exp(), rng.f64(), 0);
    while product > least {
        product *= rng.f64();
        calls += 1;
    }
    calls
}

/// Offers so many times what the server can serve, and returns what became of the calls.
fn offer(load: f64, server: Server, subject: &Subject) -> Vec<Call> {
    simulate(async {
        fastrand::seed(7);
        let mut rng = Rng::with_seed(7);
        let limited = (subject.make)(server, Handler { workers: Arc::new(Semaphore::new(server.workers)) });
        let (start, mut calls, mut callers) = (Instant::now(), Vec::new(), JoinSet::new());
        let mut now = start;
        while now < start + WARM_UP + MEASURED {
            for _ in 0..poisson(&mut rng, load * server.capacity_per_ms()) {
                let (request, is_critical) = request(&mut rng, server);
                let (limited, counts) = (limited.clone(), now >= start + WARM_UP);
                callers.spawn(async move {
                    let sent = Instant::now();
                    let is_served = timeout(TIMEOUT, limited.oneshot(request)).await == Ok(Ok(true));
                    counts.then(|| Call { is_critical, latency: is_served.then(|| sent.elapsed()) })
                });
            }
            now += Duration::from_millis(1);
            sleep_until(now).await;
            while let Some(call) = callers.try_join_next() {
                calls.extend(call.expect("a caller"));
            }
        }
        calls.extend(callers.join_all().await.into_iter().flatten());
        calls
    })
}

/// What can be said about a server at one load.
struct Figures {
    /// Calls served in time, in per cent of what the server can serve.
    goodput: f64,
    /// None if none was served.
    p99: Option<Duration>,
    /// Critical calls served in time, in per cent of those that came.
    critical: f64,
}

fn figures(server: Server, calls: &[Call]) -> Figures {
    let mut latencies: Vec<_> = calls.iter().filter_map(|call| call.latency).collect();
    latencies.sort();
    let critical: Vec<_> = calls.iter().filter(|call| call.is_critical).collect();
    let served = critical.iter().filter(|call| call.latency.is_some()).count();
    Figures {
        goodput: latencies.len() as f64 / (server.capacity_per_ms() * MEASURED.as_millis() as f64) * 100.0,
        p99: latencies.get(latencies.len() * 99 / 100).copied(),
        critical: served as f64 / critical.len() as f64 * 100.0,
    }
}

/// Runs all, and prints the tables.
pub(crate) fn run() {
    println!("## (b) More calls than a server can serve\n");
    println!("Of each load: calls served in time, in per cent of what the server can serve; the 99th percentile of");
    println!("their latency, in ms; and critical calls served in time, in per cent of those that came.\n");
    for server in SERVERS {
        let Server { workers, fixed_ms, varying_ms } = server;
        println!("{workers} workers; a call takes {fixed_ms} ms, and a random time of {varying_ms} ms on average:\n");
        let cell = |subject: &Subject, load| {
            let Figures { goodput, p99, critical } = figures(server, &offer(load, server, subject));
            let p99_ms = p99.map_or("-".to_owned(), |p99| p99.as_millis().to_string());
            format!("{goodput:.0} / {p99_ms} / {critical:.1}")
        };
        let row = |subject: &Subject| {
            let [light, full, double, five, ten] = LOADS.map(|load| cell(subject, load));
            [subject.what.to_owned(), light, full, double, five, ten]
        };
        let rows: Vec<_> = subjects().iter().map(row).collect();
        let [light, full, double, five, ten] = LOADS.map(|load| format!("{load} ×"));
        table::print(["", &light, &full, &double, &five, &ten], &rows);
    }
}
