//! A server that goes away in the middle of calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use seawall_client::Channel;
use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;

use crate::shop::{Answer, Running, Shop, create, get, policies, serve, until, users};

const WORKERS: usize = 16;

/// Has calls made all the time while one of two servers drains, and returns how each has ended.
async fn drained<F>(peer: &'static str, call: fn(UserServiceClient<Channel>) -> F) -> Vec<Answer>
where
    F: Future<Output = Answer> + Send + 'static,
{
    let served = Arc::new(AtomicUsize::new(0));
    let shop = |name: &'static str| {
        let served = Arc::clone(&served);
        Shop::new(move |_| {
            let served = Arc::clone(&served);
            async move {
                // So that there always are calls in flight.
                tokio::time::sleep(Duration::from_millis(3)).await;
                served.fetch_add(1, Ordering::Relaxed);
                Ok(name.to_owned())
            }
        })
    };
    let (mut leaving, staying): (Running, Running) = (serve(shop("leaving")).await, serve(shop("staying")).await);
    let users = users(peer, &[leaving.address, staying.address], &policies(""));
    let is_over = Arc::new(AtomicBool::new(false));
    let workers = (0..WORKERS).map(|_| {
        let (users, is_over) = (users.clone(), Arc::clone(&is_over));
        tokio::spawn(async move {
            let mut answers = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                answers.push(call(users.clone()).await);
            }
            answers
        })
    });
    let workers: Vec<_> = workers.collect();
    until("calls are being served", || served.load(Ordering::Relaxed) >= 200).await;
    leaving.shutdown.begin();
    (&mut leaving.task).await.unwrap();
    let before = served.load(Ordering::Relaxed);
    until("calls go on", || served.load(Ordering::Relaxed) >= before + 200).await;
    is_over.store(true, Ordering::Relaxed);
    let answers: Vec<Answer> = join_all(workers).await.into_iter().flat_map(Result::unwrap).collect();
    let by_leaving = answers.iter().flatten().filter(|name| *name == "leaving").count();
    assert!(by_leaving > 0, "the server has left without having been called");
    answers
}

fn assert_none_is_lost(answers: Vec<Answer>) {
    let calls = answers.len();
    let lost: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
    println!("{calls} calls while a server drains: {} are lost", lost.len());
    assert!(lost.is_empty(), "{} of {calls} are lost: {:?}", lost.len(), lost.first());
}

#[tokio::test]
async fn no_call_is_lost_when_a_server_drains() {
    assert_none_is_lost(drained("drain-retried", get).await);
}

#[tokio::test]
async fn no_call_is_lost_when_a_server_drains_though_its_method_is_not_retried() {
    assert_none_is_lost(drained("drain-once", create).await);
}
