//! Three servers in a row that all retry, the last of which fails everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt as _, stream};
use seawall_error::Error;
use seawall_policy::Policies;
use tonic::Status;

use crate::shop::{Running, Shop, get, policies, serve, users};

const CALLS: usize = 1_000;
const AT_A_TIME: usize = 16;

/// What the outermost client may never do: it has no contract, and no breaker.
const NEVER: &str = "breaker.kind = \"off\"\nretry.attempts_max = 1\nhedge.attempts_max = 1\n";

/// Counts a call and makes it at the next server, as a service does.
async fn passing(peer: &'static str, to: &Running, policies: &Policies) -> (Running, Arc<AtomicUsize>) {
    let (next, calls) = (users(peer, &[to.address], policies), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&calls);
    let shop = Shop::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        let next = next.clone();
        async { get(next).await.map_err(|status| Error::dependency("next", status).into()) }
    });
    (serve(shop).await, calls)
}

/// The calls at each of the three, for so many at the first.
async fn calls_at(peers: [&'static str; 3], policies: &Policies) -> [usize; 3] {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let last = serve(Shop::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        async { Err(Status::unavailable("everything fails")) }
    }))
    .await;
    let (middle, at_middle) = passing(peers[2], &last, policies).await;
    let (first, at_first) = passing(peers[1], &middle, policies).await;
    let users = users(peers[0], &[first.address], &crate::shop::policies(NEVER));
    let failed = stream::iter(0..CALLS)
        .map(|_| get(users.clone()))
        .buffer_unordered(AT_A_TIME)
        .filter(|answer| std::future::ready(answer.is_err()))
        .count()
        .await;
    assert_eq!(failed, CALLS, "everything fails");
    [at_first, at_middle, calls].map(|calls| calls.load(Ordering::Relaxed))
}

fn assert_bounded(what: &str, [first, middle, last]: [usize; 3]) {
    let amplification = last as f64 / first as f64;
    println!("{what}: {first} calls at the first, {middle} at the middle, {last} at the last: {amplification:.3}");
    assert_eq!(first, CALLS);
    assert!(amplification <= 1.1, "{last} / {first} = {amplification:.3}");
}

#[tokio::test]
async fn a_chain_that_fails_at_its_end_has_no_storm_of_retries() {
    let calls = calls_at(["chain-outside", "chain-first", "chain-middle"], &policies("")).await;
    assert_bounded("with breakers", calls);
    assert!(calls[2] < CALLS / 2, "the breakers leave the last alone: {calls:?}");
}

#[tokio::test]
async fn retries_alone_do_not_storm_where_no_breaker_helps() {
    let policies = policies("breaker.kind = \"off\"\n");
    let calls = calls_at(["chain-bare-outside", "chain-bare-first", "chain-bare-middle"], &policies).await;
    assert_bounded("without breakers", calls);
    assert!(calls[2] > CALLS, "there are retries, or the test shows nothing: {calls:?}");
}
