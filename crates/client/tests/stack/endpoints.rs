//! An endpoint that is dead, and one that comes back.

use std::time::{Duration, Instant};

use crate::gate::Gate;
use crate::shop::{Shop, create, get, policies, serve, users};

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
