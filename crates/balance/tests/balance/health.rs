//! The health of endpoints as they tell it themselves.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use seawall_balance::{Balance, Builder, Config, Endpoint, Static};
use seawall_classify::{Classifier, Direction};
use seawall_health::Health;
use tokio::time::{Instant, sleep};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Service, ServiceExt as _};

use crate::fake::addresses;

/// An endpoint with a health service, or without one, or whose watch breaks off.
#[derive(Clone)]
struct Server {
    health: Arc<Mutex<Option<Health>>>,
    is_broken: Arc<AtomicBool>,
    watches: Arc<AtomicU32>,
    calls: Arc<AtomicU32>,
}

impl Server {
    fn new(health: Option<Health>) -> Self {
        Self {
            health: Arc::new(Mutex::new(health)),
            is_broken: Arc::default(),
            watches: Arc::default(),
            calls: Arc::default(),
        }
    }
}

impl Endpoint for Server {
    fn is_available(&self, _: &str) -> bool {
        true
    }
}

impl Service<Request<Body>> for Server {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path() != "/grpc.health.v1.Health/Watch" {
            self.calls.fetch_add(1, Ordering::Relaxed);
            return async { Ok(Status::new(Code::Ok, "").into_http()) }.boxed();
        }
        self.watches.fetch_add(1, Ordering::Relaxed);
        match &*self.health.lock().unwrap() {
            _ if self.is_broken.load(Ordering::Relaxed) => {
                async { Ok(Status::unavailable("broken").into_http()) }.boxed()
            }
            None => async { Ok(Status::unimplemented("no health").into_http()) }.boxed(),
            Some(health) => health.service().oneshot(request).boxed(),
        }
    }
}

type Client = Balance<Server, fn(&str) -> Classifier>;

fn client(servers: [Server; 2]) -> Client {
    let of = move |address: &seawall_balance::Address| servers[usize::from(address.authority == "e2:80")].clone();
    Builder::try_new("watched", Config::default()).unwrap().health_watch("shop.v1.Shop").build(
        Static::new(addresses(&["e1:80", "e2:80"])),
        of,
        |_| Classifier::new(Direction::Outbound, false),
    )
}

fn serving(client: &Client) -> Vec<bool> {
    client.snapshot(Instant::now().into_std()).endpoints.iter().map(|endpoint| endpoint.is_available).collect()
}

async fn settled() {
    sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_not_serving_gets_no_calls_until_it_is() {
    let health = Health::new();
    health.register("shop.v1.Shop");
    let latch = health.latch("database");
    // The other one has no health service, and counts as healthy.
    let servers = [Server::new(Some(health)), Server::new(None)];
    let client = client(servers.clone());
    settled().await;
    assert_eq!(serving(&client), [false, true]);
    for _ in 0..20 {
        client.clone().oneshot(Request::new(Body::empty())).await.unwrap();
    }
    let calls = |n: usize| servers[n].calls.load(Ordering::Relaxed);
    assert_eq!((calls(0), calls(1)), (0, 20));
    latch.ready();
    settled().await;
    assert_eq!(serving(&client), [true, true]);
    for _ in 0..50 {
        client.clone().oneshot(Request::new(Body::empty())).await.unwrap();
    }
    assert!(calls(0) > 10, "{}", calls(0));
    latch.not_ready();
    settled().await;
    assert_eq!(serving(&client), [false, true]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_breaks_off_is_made_again_less_and_less_often() {
    let health = Health::new();
    health.register("shop.v1.Shop");
    let servers = [Server::new(Some(health)), Server::new(None)];
    servers[0].is_broken.store(true, Ordering::Relaxed);
    let client = client(servers.clone());
    let watches = || servers[0].watches.load(Ordering::Relaxed);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(serving(&client), [false, true]);
    assert!((6..=9).contains(&watches()), "{} watches in a minute", watches());
    let before = watches();
    servers[0].is_broken.store(false, Ordering::Relaxed);
    sleep(Duration::from_secs(60)).await;
    assert_eq!((serving(&client), watches()), (vec![true, true], before + 1));
    // A server that ends while it is watched is not known to serve any more.
    servers[0].is_broken.store(true, Ordering::Relaxed);
    servers[0].health.lock().unwrap().take();
    settled().await;
    assert_eq!(serving(&client), [false, true]);
    // One without the service is asked once.
    assert_eq!(servers[1].watches.load(Ordering::Relaxed), 1);
}

/// As at each end of a connection's time: of a fleet that was started together all would be away at
/// once.
#[tokio::test(start_paused = true)]
async fn a_watch_that_has_lasted_is_made_again_at_once() {
    let health = || {
        let health = Health::new();
        health.register("shop.v1.Shop");
        health
    };
    let servers = [Server::new(Some(health())), Server::new(None)];
    let client = client(servers.clone());
    sleep(Duration::from_secs(60)).await;
    servers[0].health.lock().unwrap().replace(health());
    settled().await;
    assert_eq!(serving(&client), [true, true]);
    // One that ends again and again is not.
    for _ in 0..20 {
        servers[0].health.lock().unwrap().replace(health());
        settled().await;
    }
    assert!(servers[0].watches.load(Ordering::Relaxed) <= 4, "{:?}", servers[0].watches);
}

#[tokio::test(start_paused = true)]
async fn if_no_endpoint_says_that_it_serves_calls_are_made_nevertheless() {
    let servers = [Server::new(Some(Health::new())), Server::new(Some(Health::new()))];
    let client = client(servers.clone());
    settled().await;
    assert_eq!(serving(&client), [false, false]);
    client.clone().oneshot(Request::new(Body::empty())).await.unwrap();
    assert_eq!(servers.iter().map(|server| server.calls.load(Ordering::Relaxed)).sum::<u32>(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_watches_end_with_the_balancer() {
    let servers = [Server::new(None), Server::new(Some(Health::new()))];
    let is_broken = Arc::clone(&servers[1].is_broken);
    let client = client(servers);
    settled().await;
    // This one, the balancer's, and its watch's.
    assert!(Arc::strong_count(&is_broken) > 2);
    drop(client);
    settled().await;
    assert_eq!(Arc::strong_count(&is_broken), 1);
}
