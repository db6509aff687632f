//! A peer whose process ends while the next one begins.

use std::time::Duration;

use seawall_client::Channel;
use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;
use tokio::time::Instant;

use crate::answers::created;
use crate::raw::{NO_ERROR, Pipes};
use crate::shop::{config, policies, until};

/// What the shortest wait between two attempts to connect is: the first back-off, less its jitter.
const SHORTEST_BACKOFF: Duration = Duration::from_millis(80);

/// How long the first process goes on after its answer.
const STAY: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_has_called_by_when_its_peer_leaves_is_no_failure() {
    let network = Pipes::play(|number, mut talk| async move {
        talk.begin(None).await?;
        match number {
            // The process that ends answers, and leaves.
            0 => {
                let call = talk.call().await?;
                talk.answer(call, &[b""]).await?;
                tokio::time::sleep(STAY).await;
                talk.go_away(call, NO_ERROR, "").await
            }
            // It has accepted another one just before it was told to drain.
            1 => talk.go_away(0, NO_ERROR, "").await,
            // The process in its place.
            _ => loop {
                let call = talk.call().await?;
                talk.answer(call, &[b""]).await?;
            },
        }
    });
    let mut config = config(&[([127, 0, 0, 1], 1).into()]);
    config.connector = network.clone();
    let users = UserServiceClient::new(Channel::new("leaving", &config, &policies("")));
    created(users.clone()).await.unwrap();
    let begun = Instant::now();
    until("the process in its place is called", || network.accepted() == 3).await;
    let waited = begun.elapsed();
    assert!(waited < STAY + SHORTEST_BACKOFF, "it was taken for a peer that closes what it accepts, for {waited:?}");
    created(users).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_leaves_again_and_again_is_not_dialled_in_a_loop() {
    let network = Pipes::play(|_, mut talk| async move {
        talk.begin(None).await?;
        talk.go_away(0, NO_ERROR, "").await
    });
    let mut config = config(&[([127, 0, 0, 1], 1).into()]);
    config.connector = network.clone();
    let users = UserServiceClient::new(Channel::new("leaving-always", &config, &policies("")));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        assert!(created(users.clone()).await.is_err());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let dialled = network.accepted();
    // One is excused, and the back-off grows.
    let allowed = 2 + begun.elapsed().as_millis() / SHORTEST_BACKOFF.as_millis();
    assert!(dialled as u128 <= allowed, "dialled {dialled} times; {allowed} are allowed");
}
