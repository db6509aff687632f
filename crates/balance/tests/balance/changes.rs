//! Endpoints that come and go under load.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use seawall_balance::{Address, Builder, Config, Subset, Watched};
use seawall_classify::{Classifier, Direction};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tonic::Code;

use crate::fake::{Fleet, Mode, address, addresses, call, request};

fn classifier(_: &str) -> Classifier {
    Classifier::new(Direction::Outbound, false)
}

/// Every 50 ms one of ten comes or goes; one call in ten outlives several such changes.
#[tokio::test(start_paused = true)]
async fn no_call_is_lost_when_endpoints_come_and_go() {
    fastrand::seed(7);
    let fleet = Fleet::default();
    let all: Vec<Address> = (0..10).map(|n| address(&format!("e{n}:80"))).collect();
    let (send, receive) = watch::channel(all.clone());
    let client = fleet.balance(Config::default(), Watched::new(receive));
    let changes = tokio::spawn(async move {
        let mut there: BTreeSet<usize> = (0..10).collect();
        for _ in 0..400 {
            sleep(Duration::from_millis(50)).await;
            let changed = fastrand::usize(0..10);
            if !there.remove(&changed) || there.is_empty() {
                there.insert(changed);
            }
            send.send(there.iter().map(|n| all[*n].clone()).collect()).unwrap();
        }
        send
    });
    let mut calls = Vec::new();
    while !changes.is_finished() {
        for n in 0..10 {
            let took = Duration::from_millis(if n == 0 { 500 } else { 20 });
            for host in 0..10 {
                fleet.at(&format!("e{host}:80")).set(Mode::Serves(took));
            }
            calls.push(tokio::spawn(call(client.clone(), request())));
            tokio::task::yield_now().await;
        }
        sleep(Duration::from_millis(10)).await;
    }
    let total = calls.len();
    let mut lost = 0;
    for code in calls {
        lost += usize::from(code.await.unwrap() != Code::Ok);
    }
    println!("400 changes under {total} calls: {lost} lost");
    assert_eq!(lost, 0);
    assert!(total > 10_000);
    drop(changes.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_stays_is_kept_and_one_that_goes_is_dropped_with_its_last_call() {
    let fleet = Fleet::default();
    let made: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
    let (send, receive) = watch::channel(addresses(&["e1:80", "e2:80", "e2:80"]));
    let client = Builder::try_new("kept", Config::default()).unwrap().build(
        Watched::new(receive),
        {
            let (fleet, made) = (fleet.clone(), Arc::clone(&made));
            move |address| {
                *made.lock().unwrap().entry(address.to_string()).or_default() += 1;
                fleet.at(address.authority.as_str())
            }
        },
        classifier,
    );
    let endpoints = || client.snapshot(Instant::now().into_std()).endpoints;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(endpoints().len(), 2, "one that is named twice is one");
    fleet.at("e2:80").set_available(false);
    fleet.at("e1:80").set(Mode::Serves(Duration::from_secs(5)));
    let running = tokio::spawn(call(client.clone(), request()));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(fleet.at("e1:80").in_flight(), 1);

    // Another weight is no other endpoint.
    let heavier = Address { weight: 2, ..address("e2:80") };
    send.send(vec![heavier, address("e3:80")]).unwrap();
    sleep(Duration::from_millis(1)).await;
    let now: Vec<String> = endpoints().into_iter().map(|endpoint| endpoint.address).collect();
    assert_eq!(now, ["e2:80", "e3:80"]);
    assert_eq!(running.await.unwrap(), Code::Ok, "the call of the endpoint that went");
    assert_eq!(*made.lock().unwrap(), ["e1:80", "e2:80", "e3:80"].map(|host| (host.to_owned(), 1)).into());

    // Back again, it is a new one.
    send.send(addresses(&["e1:80"])).unwrap();
    sleep(Duration::from_millis(1)).await;
    assert_eq!((made.lock().unwrap()["e1:80"], endpoints()[0].picks), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_subset_is_all_that_is_used() {
    let fleet = Fleet::default();
    let all: Vec<Address> = (0..40).map(|n| address(&format!("e{n}:80"))).collect();
    let config = Config { subset: Some(Subset { client_id: 3, size: 5 }), ..Config::default() };
    let client = fleet.balance(config, Watched::new(watch::channel(all).1));
    for _ in 0..200 {
        assert_eq!(call(client.clone(), request()).await, Code::Ok);
    }
    assert_eq!((fleet.calls().len(), fleet.calls().iter().filter(|calls| **calls > 0).count()), (5, 5));
}
