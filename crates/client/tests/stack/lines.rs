//! More calls at a time than a peer takes on one connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use seawall_client::Channel;
use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use crate::answers::created;
use crate::clock::leap;
use crate::gate::Gate;
use crate::raw::Raw;
use crate::settings::users;
use crate::shop::{Answer, Running, Shop, create, policies, serve_set, until};

/// What the server takes at a time on a connection.
const STREAMS_MAX: u32 = 2;

const FAR: Duration = Duration::from_secs(24 * 3_600);

/// A server whose calls end when they are let go, behind a gate that counts connections.
struct Busy {
    _server: Running,
    gate: Gate,
    in_flight: Arc<AtomicUsize>,
    released: Arc<Semaphore>,
}

impl Busy {
    async fn new() -> Self {
        let (in_flight, released) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let (count, may_end) = (Arc::clone(&in_flight), Arc::clone(&released));
        let shop = Shop::new(move |_| {
            let (count, may_end) = (Arc::clone(&count), Arc::clone(&may_end));
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                may_end.acquire().await.unwrap().forget();
                count.fetch_sub(1, Ordering::SeqCst);
                Ok("done".to_owned())
            }
        });
        let server = serve_set(shop, &policies(""), |config| {
            config.concurrent_streams_max = STREAMS_MAX;
            // Time leaps here, and only the client is to close connections.
            config.keepalive_interval = FAR;
            config.connection_idle_timeout = FAR;
            config.connection_age_max = FAR;
        })
        .await;
        let gate = Gate::to(server.address).await;
        Self { _server: server, gate, in_flight, released }
    }

    fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }
}

fn calls(users: &UserServiceClient<Channel>, number: usize) -> Vec<JoinHandle<Answer>> {
    (0..number).map(|_| tokio::spawn(create(users.clone()))).collect()
}

async fn assert_done(calls: Vec<JoinHandle<Answer>>) {
    for answer in join_all(calls).await {
        assert_eq!(answer.unwrap().unwrap(), "done");
    }
}

#[tokio::test]
async fn calls_beyond_the_limit_of_a_connection_go_by_another_and_wait_beyond_the_last() {
    let busy = Busy::new().await;
    let users = users("lines-more", &[busy.gate.address], &[("CONNECTIONS_MAX", "3")]);
    let calls = calls(&users, 10);
    until("as many calls are served as three connections take", || busy.in_flight() == 6).await;
    assert_eq!(busy.gate.accepted(), 3);
    busy.released.add_permits(1);
    until("another call has the place of the one that has ended", || {
        busy.released.available_permits() == 0 && busy.in_flight() == 6
    })
    .await;
    busy.released.add_permits(9);
    assert_done(calls).await;
    assert_eq!(busy.gate.accepted(), 3, "no more than are allowed");
}

#[tokio::test]
async fn a_call_is_served_while_streams_without_an_end_fill_a_connection() {
    let busy = Busy::new().await;
    let users = users("lines-default", &[busy.gate.address], &[]);
    let endless = calls(&users, 2);
    until("they fill the connection", || busy.in_flight() == 2).await;
    let more = calls(&users, 1);
    until("the next one is served too", || busy.in_flight() == 3).await;
    assert_eq!(busy.gate.accepted(), 2);
    busy.released.add_permits(3);
    assert_done(endless).await;
    assert_done(more).await;
}

#[tokio::test]
async fn connections_that_are_not_needed_any_more_are_closed_but_for_one() {
    let busy = Busy::new().await;
    let users = users("lines-surplus", &[busy.gate.address], &[]);
    let many = calls(&users, 8);
    until("four connections are full", || busy.in_flight() == 8).await;
    busy.released.add_permits(8);
    assert_done(many).await;
    assert_eq!((busy.gate.accepted(), busy.gate.ended()), (4, 0));
    // They are looked at twice: whether they were used, and whether they still are.
    let begun = Instant::now();
    while busy.gate.ended() < 3 {
        assert!(begun.elapsed() < Duration::from_secs(60), "they are never closed: {}", busy.gate.ended());
        leap(Duration::from_secs(30)).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    busy.released.add_permits(1);
    assert_done(calls(&users, 1)).await;
    assert_eq!((busy.gate.accepted(), busy.gate.ended()), (4, 3), "the first one is kept, and used");
    let many = calls(&users, 4);
    until("another is made again", || busy.in_flight() == 4).await;
    assert_eq!(busy.gate.accepted(), 5);
    busy.released.add_permits(4);
    assert_done(many).await;
}

#[tokio::test]
async fn a_call_that_is_given_up_while_it_waits_leaves_its_place_to_others() {
    let busy = Busy::new().await;
    let users = users("lines-given-up", &[busy.gate.address], &[("CONNECTIONS_MAX", "1")]);
    let served = calls(&users, 2);
    until("the connection is full", || busy.in_flight() == 2).await;
    let (given_up, waiting) = (calls(&users, 3), calls(&users, 1));
    tokio::task::yield_now().await;
    for call in &given_up {
        call.abort();
    }
    busy.released.add_permits(3);
    assert_done(served).await;
    assert_done(waiting).await;
    assert_eq!(busy.gate.accepted(), 1);
}

#[tokio::test]
async fn a_limit_that_is_raised_holds_at_once() {
    let (raised, begun) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let (raising, count) = (Arc::clone(&raised), Arc::clone(&begun));
    let server = Raw::play(move |_, mut talk| {
        let (count, raising) = (Arc::clone(&count), Arc::clone(&raising));
        async move {
            talk.begin(Some(1)).await?;
            let first = talk.call().await?;
            count.fetch_add(1, Ordering::SeqCst);
            raising.notified().await;
            talk.settings(Some(2)).await?;
            let second = talk.call().await?;
            count.fetch_add(1, Ordering::SeqCst);
            talk.answer(first, &[b""]).await?;
            talk.answer(second, &[b""]).await?;
            talk.listen().await
        }
    })
    .await;
    let users = users("lines-raised", &[server.address], &[("CONNECTIONS_MAX", "1")]);
    let both: Vec<_> = (0..2).map(|_| tokio::spawn(created(users.clone()))).collect();
    until("the first call is there", || begun.load(Ordering::SeqCst) == 1).await;
    raised.notify_one();
    for call in both {
        call.await.unwrap().unwrap();
    }
    assert_eq!((begun.load(Ordering::SeqCst), server.accepted()), (2, 1));
}
