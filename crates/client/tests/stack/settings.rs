//! The settings of what is decided for a peer as a whole.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use seawall_client::{Channel, Config};
use seawall_config::Reader;
use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;
use tonic::Status;

use crate::page::state;
use crate::shop::{Running, Shop, create, get, policies, serve};

/// The settings of a channel to these endpoints, with others such as `("RETRY_TOKENS", "1")`.
pub(crate) fn configured(endpoints: &[SocketAddr], settings: &[(&str, &str)]) -> Config {
    let addresses: Vec<String> = endpoints.iter().map(|endpoint| format!("http://{endpoint}")).collect();
    let mut variables = vec![("SEAWALL_PEER_ADDRESS".to_owned(), addresses.join(","))];
    variables.extend(settings.iter().map(|(key, value)| (format!("SEAWALL_PEER_{key}"), (*value).to_owned())));
    let mut reader = Reader::new("", "", variables);
    let config = Config::read(&mut reader.section("peer"), "http://127.0.0.1:1");
    reader.finish().unwrap();
    config
}

/// A client with such a channel, and no breaker.
pub(crate) fn users(
    peer: &'static str,
    endpoints: &[SocketAddr],
    settings: &[(&str, &str)],
) -> UserServiceClient<Channel> {
    let config = configured(endpoints, settings);
    UserServiceClient::new(Channel::new(peer, &config, &policies("breaker.kind = \"off\"")))
}

/// A server that fails each call, and how many it has had.
async fn failing() -> (Running, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let shop = Shop::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        async { Err(Status::unavailable("ill")) }
    });
    (serve(shop).await, calls)
}

#[tokio::test]
async fn as_many_failures_in_a_row_as_are_set_have_an_endpoint_ejected() {
    // One always may be ejected; of two, the share has to allow for the second.
    for (peer, failures, share, expected) in
        [("ejected-by-2", "2", "0", 1), ("ejected-both", "2", "100", 2), ("ejected-never", "0", "100", 0)]
    {
        let servers = [failing().await, failing().await];
        let endpoints = servers.each_ref().map(|(server, _)| server.address);
        let settings = [("EJECTION_FAILURES", failures), ("EJECTION_PERCENT_MAX", share)];
        let users = users(peer, &endpoints, &settings);
        for _ in 0..60 {
            create(users.clone()).await.unwrap_err();
        }
        let page = state(servers[0].0.metrics, "endpoints", peer).await;
        let shown = page["endpoints"].as_array().unwrap();
        let ejected = shown.iter().filter(|endpoint| !endpoint["ejected_for_ms"].is_null()).count();
        assert_eq!(ejected, expected, "{peer}: {page}");
    }
}

#[tokio::test]
async fn the_tokens_and_the_budget_of_retries_are_as_set() {
    // The first failure leaves no token of one, and all but one of a thousand.
    for (peer, tokens, is_retried) in [("tokens-few", "1", false), ("tokens-many", "1000", true)] {
        let (server, calls) = failing().await;
        let users = users(peer, &[server.address], &[("RETRY_TOKENS", tokens)]);
        get(users).await.unwrap_err();
        assert_eq!(calls.load(Ordering::Relaxed) > 1, is_retried, "{peer}");
    }
    // A hundred may be retried in ten seconds anyway; beside them, a share of the calls.
    for (peer, share, is_more) in [("budget-none", "0", false), ("budget-all", "1", true)] {
        const CALLS: usize = 150;
        let (server, calls) = failing().await;
        let users = users(peer, &[server.address], &[("RETRY_TOKENS", "1000"), ("RETRY_BUDGET", share)]);
        let ended = join_all((0..CALLS).map(|_| get(users.clone()))).await;
        assert!(ended.iter().all(Result::is_err));
        let again = calls.load(Ordering::Relaxed) - CALLS;
        println!("{CALLS} calls, a budget of {share}: {again} were made again");
        assert_eq!(again > 110, is_more, "{peer}: {again} calls were made again");
    }
}
