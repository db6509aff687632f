//! Five endpoints, one of which fails for a while and is well again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use seawall_client::Channel;
use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;
use tonic::Status;

use crate::clock::leap;
use crate::page::state;
use crate::shop::{Answer, Shop, create, policies, serve, users};

const NAMES: [&str; 5] = ["0", "1", "2", "3", "4"];
/// The one that fails.
const ILL: &str = "2";
const AT_A_TIME: usize = 10;

/// How often each endpoint has answered, and the calls that have failed under `failed`.
async fn answers(users: &UserServiceClient<Channel>, calls: usize) -> BTreeMap<String, usize> {
    let answers: Vec<Answer> =
        stream::iter(0..calls).map(|_| create(users.clone())).buffer_unordered(AT_A_TIME).collect().await;
    let mut counts = BTreeMap::new();
    for answer in answers {
        *counts.entry(answer.unwrap_or_else(|_| "failed".to_owned())).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn an_endpoint_that_fails_is_ejected_and_comes_back_when_it_is_well() {
    let is_ill = Arc::new(AtomicBool::new(false));
    let mut servers = Vec::new();
    for name in NAMES {
        let is_ill = Arc::clone(&is_ill);
        let shop = Shop::new(move |_| {
            let fails = name == ILL && is_ill.load(Ordering::Relaxed);
            async move {
                // As a service that does something, so that calls are in flight at the same time.
                tokio::time::sleep(Duration::from_millis(1)).await;
                if fails { Err(Status::unavailable("ill")) } else { Ok(name.to_owned()) }
            }
        });
        servers.push(serve(shop).await);
    }
    let endpoints: Vec<_> = servers.iter().map(|server| server.address).collect();
    // Without retries and breakers, so that every failure is seen.
    let users = users("ejection", &endpoints, &policies("breaker.kind = \"off\""));
    let ejected = async || -> Vec<usize> {
        let page = state(servers[0].metrics, "endpoints", "ejection").await;
        let endpoints = page["endpoints"].as_array().unwrap();
        (0..5).filter(|index| !endpoints[*index]["ejected_for_ms"].is_null()).collect()
    };
    let before = answers(&users, 500).await;
    println!("all are well: {before:?}");
    assert_eq!(before.len(), 5, "each of them is called, and none fails: {before:?}");

    is_ill.store(true, Ordering::Relaxed);
    let during = answers(&users, 500).await;
    let failed = during.get("failed").copied().unwrap_or_default();
    println!("one of five fails: {during:?}, ejected: {:?}", ejected().await);
    assert_eq!(ejected().await, [2]);
    // Five in a row have it ejected; the others were under way.
    assert!((5..5 + AT_A_TIME).contains(&failed), "{failed} calls have failed");
    let ejected_for = answers(&users, 500).await;
    println!("it is ejected: {ejected_for:?}");
    assert!(!ejected_for.contains_key("failed") && !ejected_for.contains_key(ILL), "{ejected_for:?}");

    // The default is half a minute; sweeps are ten seconds apart.
    for _ in 0..4 {
        leap(Duration::from_secs(10)).await;
    }
    let ill_again = answers(&users, 500).await;
    println!("it may return while it is ill: {ill_again:?}, ejected: {:?}", ejected().await);
    let failed = ill_again.get("failed").copied().unwrap_or_default();
    assert!((1..=AT_A_TIME).contains(&failed), "the first failure has it ejected again: {failed}");
    assert_eq!(ejected().await, [2]);

    is_ill.store(false, Ordering::Relaxed);
    // Twice as long, as it was ejected twice.
    for _ in 0..7 {
        leap(Duration::from_secs(10)).await;
    }
    let after = answers(&users, 500).await;
    println!("it is well: {after:?}, ejected: {:?}", ejected().await);
    assert_eq!(ejected().await, [] as [usize; 0]);
    assert!(after.len() == 5 && after[ILL] > 0, "all are called, and none fails: {after:?}");
}
