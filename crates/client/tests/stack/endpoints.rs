//! An endpoint that is dead, and one that comes back.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::uri::Authority;
use seawall_client::{Channel, Connect, Io, Tcp};
use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::clock::leap;
use crate::gate::Gate;
use crate::page::state;
use crate::shop::{Shop, config, create, get, policies, serve, serve_set, until, users};

/// What the shortest wait between two attempts to connect is: the first back-off, less its jitter.
const SHORTEST_BACKOFF: Duration = Duration::from_millis(80);

fn named(name: &'static str) -> Shop {
    Shop::new(move |_| async move { Ok(name.to_owned()) })
}

#[tokio::test]
async fn calls_go_around_an_endpoint_that_closes_what_it_accepts_and_it_is_not_dialled_in_a_loop() {
    const CALLS: usize = 1_000;
    let (dead, working) = (serve(named("dead")).await, serve(named("working")).await);
    let gate = Gate::to(dead.address).await;
    gate.close();
    let users = users("endpoint-dead", &[gate.address, working.address], &policies(""));
    let begun = Instant::now();
    for _ in 0..CALLS {
        assert_eq!(get(users.clone()).await.unwrap(), "working");
    }
    let dialled = gate.accepted();
    let allowed = 1 + begun.elapsed().as_millis() / SHORTEST_BACKOFF.as_millis();
    println!("{CALLS} calls: the dead endpoint was dialled {dialled} times, of {allowed} allowed by the back-off");
    assert!(dialled > 0, "nobody has called it, so that the test shows nothing");
    assert!(dialled as u128 <= allowed, "{dialled} > {allowed}");
}

#[tokio::test]
async fn an_endpoint_that_comes_back_is_used_again() {
    let (one, two) = (serve(named("one")).await, serve(named("two")).await);
    let gate = Gate::to(one.address).await;
    let users = users("endpoint-back", &[gate.address, two.address], &policies(""));
    let answered_by_one = async || {
        let begun = Instant::now();
        while get(users.clone()).await.unwrap() != "one" {
            assert!(begun.elapsed() < Duration::from_secs(60), "it is never called");
        }
    };
    answered_by_one().await;
    gate.close();
    // Until the loss has been noticed, a call may be under way on the connection; it is retried.
    for _ in 0..50 {
        assert_eq!(get(users.clone()).await.unwrap(), "two");
    }
    gate.open();
    answered_by_one().await;
}

#[tokio::test]
async fn a_single_endpoint_that_comes_back_is_used_again_also_by_calls_that_are_not_retried() {
    let server = serve(named("only")).await;
    let gate = Gate::to(server.address).await;
    let users = users("endpoint-single", &[gate.address], &policies("breaker.kind = \"off\""));
    assert_eq!(create(users.clone()).await.unwrap(), "only");
    gate.close();
    let begun = Instant::now();
    while create(users.clone()).await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the gate is closed");
    }
    gate.open();
    while create(users.clone()).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it is never connected again");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_call_that_no_endpoint_has_taken_goes_to_another_one_whatever_its_method() {
    let working = serve(named("working")).await;
    // Nobody listens there any more.
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let users = users("endpoint-resent", &[dead, working.address], &policies(""));
    for _ in 0..20 {
        assert_eq!(create(users.clone()).await.unwrap(), "working");
    }
    let page = state(working.metrics, "endpoints", "endpoint-resent").await;
    assert!(page["endpoints"][0]["picks"].as_u64() > Some(0), "nobody has called it: {page}");
}

/// A network on which connecting takes for ever while it is down.
#[derive(Debug)]
struct Network(watch::Receiver<bool>);

impl Connect for Network {
    fn connect(&self, authority: &Authority) -> BoxFuture<'static, io::Result<Box<dyn Io>>> {
        let (mut is_up, connecting) = (self.0.clone(), Tcp.connect(authority));
        async move {
            is_up.wait_for(|is_up| *is_up).await.map_err(io::Error::other)?;
            connecting.await
        }
        .boxed()
    }

    fn resolve(&self, authority: &Authority) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        Tcp.resolve(authority)
    }
}

#[tokio::test]
async fn no_call_waits_for_a_connection_that_is_lost_while_another_endpoint_has_one() {
    let near = serve(named("near")).await;
    let far = serve(Shop::new(|_| async {
        // Slower, so that calls go to the other one where they may.
        tokio::time::sleep(Duration::from_millis(3)).await;
        Ok("far".to_owned())
    }))
    .await;
    let gate = Gate::to(near.address).await;
    let (network, is_up) = watch::channel(true);
    let mut config = config(&[gate.address, far.address]);
    config.connector = Arc::new(Network(is_up));
    config.connect_timeout = Duration::from_secs(3_600);
    let users = UserServiceClient::new(Channel::new("endpoint-lost", &config, &policies("")));
    let mut answers = Vec::new();
    while !["near", "far"].iter().all(|name| answers.iter().any(|answer| answer == name)) {
        answers.push(create(users.clone()).await.unwrap());
    }
    // One that ends as soon as it is made is not lost, but as good as refused.
    leap(Duration::from_secs(1)).await;
    network.send_replace(false);
    gate.close();
    let page = async || state(far.metrics, "endpoints", "endpoint-lost").await["endpoints"][0].clone();
    let begun = Instant::now();
    while page().await["is_available"] == true {
        assert!(begun.elapsed() < Duration::from_secs(60), "its connection is lost");
    }
    let before = page().await["picks"].clone();
    for _ in 0..50 {
        assert_eq!(create(users.clone()).await.unwrap(), "far");
    }
    assert_eq!(page().await["picks"], before);
    // It is connected again though nobody has called it.
    gate.open();
    let dialled = gate.accepted();
    network.send_replace(true);
    until("it is dialled", || gate.accepted() > dialled).await;
    while create(users.clone()).await.unwrap() != "near" {
        assert!(begun.elapsed() < Duration::from_secs(60), "it is never called");
    }
}

#[tokio::test]
async fn a_connection_that_nobody_calls_by_is_not_made_again_until_somebody_does() {
    let idle_timeout = Duration::from_millis(250);
    let set = |config: &mut seawall_server::Config| config.connection_idle_timeout = idle_timeout;
    let server = serve_set(named("only"), &policies(""), set).await;
    let gate = Gate::to(server.address).await;
    let users = users("endpoint-idle", &[gate.address], &policies(""));
    assert_eq!(create(users.clone()).await.unwrap(), "only");
    // One that had calls is made again when the server ends it; that one has none.
    until("it is made again, and ended again", || gate.ended() == 2).await;
    tokio::time::sleep(idle_timeout).await;
    assert_eq!(gate.accepted(), 2);
    assert_eq!(create(users.clone()).await.unwrap(), "only");
    assert_eq!(gate.accepted(), 3);
}
