//! Where a call goes, and what its end says about the endpoint.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use seawall_balance::{Address, Builder, Config, Discover, EndpointSnapshot, Pick, Plain, Static};
use seawall_classify::{Classifier, Direction};
use seawall_deadline::{BoundLayer, ForwardLayer};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tonic::Code;
use tower::{Layer as _, Service as _, ServiceExt as _};

use crate::fake::{Client, Fleet, Mode, SERVES, address, addresses, call, request};

fn endpoints(client: &Client) -> Vec<EndpointSnapshot> {
    client.snapshot(Instant::now().into_std()).endpoints
}

fn failures(client: &Client) -> u64 {
    endpoints(client).iter().map(|endpoint| endpoint.failures).sum()
}

/// Lets the task of a new balancer find its endpoints.
async fn settled() {
    sleep(Duration::from_millis(1)).await;
}

fn with_timeout(timeout: &'static str) -> http::Request<tonic::body::Body> {
    let mut request = request();
    request.headers_mut().insert("grpc-timeout", http::HeaderValue::from_static(timeout));
    request
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_the_first_endpoints_and_an_empty_set_answers_at_once() {
    #[derive(Debug)]
    struct Late(watch::Receiver<Option<Vec<Address>>>);
    impl Discover for Late {
        async fn next(&mut self) -> Option<Vec<Address>> {
            loop {
                self.0.changed().await.ok()?;
                let found = self.0.borrow_and_update().clone();
                if found.is_some() {
                    return found;
                }
            }
        }
    }
    let (send, receive) = watch::channel(None);
    let client = Fleet::default().balance(Config::default(), Late(receive));
    assert!(timeout(Duration::from_secs(60), call(client.clone(), request())).await.is_err());
    assert!(!client.snapshot(Instant::now().into_std()).is_discovered);

    // The waiting calls are all that is left of the balancer.
    let waiting = [(); 3].map(|()| tokio::spawn(call(client.clone(), request())));
    drop(client.clone());
    settled().await;
    send.send(Some(addresses(&["e1:80"]))).unwrap();
    for code in waiting {
        assert_eq!(code.await.unwrap(), Code::Ok);
    }

    send.send(Some(Vec::new())).unwrap();
    settled().await;
    let before = Instant::now();
    let response = client.clone().oneshot(request()).await.unwrap();
    let status = tonic::Status::from_header_map(response.headers()).unwrap();
    assert_eq!((status.code(), before.elapsed()), (Code::Unavailable, Duration::ZERO));
    assert!(String::from_utf8_lossy(status.details()).contains("NO_ENDPOINTS"));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_keeps_the_search_going_and_the_last_clone_ends_it() {
    struct Searching {
        _alive: Arc<()>,
    }
    impl Discover for Searching {
        async fn next(&mut self) -> Option<Vec<Address>> {
            sleep(Duration::from_secs(3)).await;
            Some(addresses(&["e1:80"]))
        }
    }
    let alive = Arc::new(());
    let mut client = Fleet::default().balance(Config::default(), Searching { _alive: Arc::clone(&alive) });
    let waiting = client.call(request());
    drop(client);
    assert!(waiting.await.is_ok());
    settled().await;
    assert_eq!(Arc::strong_count(&alive), 1, "the task goes on");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_not_available_gets_calls_only_if_none_is() {
    let fleet = Fleet::default();
    let client = fleet.balance(Config::default(), Static::new(addresses(&["e1:80", "e2:80", "e3:80"])));
    settled().await;
    for host in ["e1:80", "e3:80"] {
        fleet.at(host).set_available(false);
    }
    for _ in 0..50 {
        assert_eq!(call(client.clone(), request()).await, Code::Ok);
    }
    assert_eq!(fleet.calls(), [0, 50, 0]);
    assert_eq!(endpoints(&client).iter().map(|e| e.is_available).collect::<Vec<_>>(), [false, true, false]);
    fleet.at("e2:80").set_available(false);
    fleet.at("e2:80").set(Mode::Answers(Code::Aborted));
    let codes: BTreeSet<String> = {
        let mut codes = BTreeSet::new();
        for _ in 0..50 {
            codes.insert(format!("{:?}", call(client.clone(), request()).await));
        }
        codes
    };
    assert_eq!(codes, ["Aborted", "Ok"].map(str::to_owned).into());
}

#[tokio::test(start_paused = true)]
async fn calls_with_one_key_go_to_one_endpoint_until_it_is_away() {
    let fleet = Fleet::default();
    let pick = Pick::Hash { header: HeaderName::from_static("user-id"), load_factor: 1.25 };
    let config = Config { pick, ..Config::default() };
    let client = fleet.balance(config, Static::new(addresses(&["e1:80", "e2:80", "e3:80", "e4:80"])));
    settled().await;
    let keyed = || {
        let mut request = request();
        request.headers_mut().insert("user-id", http::HeaderValue::from_static("u-17"));
        request
    };
    for _ in 0..20 {
        assert_eq!(call(client.clone(), keyed()).await, Code::Ok);
    }
    let owner = fleet.calls().iter().position(|calls| *calls == 20).expect("all at one");
    let hosts = ["e1:80", "e2:80", "e3:80", "e4:80"];
    fleet.at(hosts[owner]).set_available(false);
    for _ in 0..20 {
        assert_eq!(call(client.clone(), keyed()).await, Code::Ok);
    }
    assert_eq!(fleet.calls()[owner], 20);
    assert_eq!(fleet.calls().iter().filter(|calls| **calls == 20).count(), 2, "the next owner has them all");
    fleet.at(hosts[owner]).set_available(true);

    // So many at the same time are more than one endpoint's share.
    let together: Vec<_> = (0..40).map(|_| tokio::spawn(call(client.clone(), keyed()))).collect();
    settled().await;
    let in_flight: Vec<u64> = endpoints(&client).iter().map(|e| e.in_flight).collect();
    assert!(in_flight.iter().all(|n| *n <= 13) && in_flight[owner] == 13, "{in_flight:?}");
    for call in together {
        assert_eq!(call.await.unwrap(), Code::Ok);
    }

    // Without the key they go by load.
    let before = fleet.calls();
    for _ in 0..100 {
        assert_eq!(call(client.clone(), request()).await, Code::Ok);
    }
    assert!(fleet.calls().iter().zip(before).all(|(now, before)| now - before > 10), "{:?}", fleet.calls());
}

/// Otherwise every attempt of a call fails by the endpoint that its key names.
#[tokio::test(start_paused = true)]
async fn each_attempt_of_a_keyed_call_goes_to_another_endpoint() {
    let fleet = Fleet::default();
    let header = HeaderName::from_static("user-id");
    let pick = Pick::Hash { header: header.clone(), load_factor: 100.0 };
    let hosts = ["e1:80", "e2:80", "e3:80"];
    let client = fleet.balance(Config { pick, ..Config::default() }, Static::new(addresses(&hosts)));
    settled().await;
    let attempt = |user: u32, previous: u32| {
        let mut request = request();
        request.headers_mut().insert(&header, user.into());
        request.headers_mut().insert("grpc-previous-rpc-attempts", previous.into());
        call(client.clone(), request)
    };
    for user in 0..20 {
        let before = fleet.calls();
        for previous in 0..3 {
            assert_eq!(attempt(user, previous).await, Code::Ok);
        }
        let calls: Vec<u64> = fleet.calls().iter().zip(before).map(|(now, before)| now - before).collect();
        assert_eq!(calls, [1, 1, 1], "user {user}");
        // There are no more of them.
        assert_eq!(attempt(user, 3).await, Code::Ok);
    }
}

#[tokio::test(start_paused = true)]
async fn calls_follow_the_weight() {
    let fleet = Fleet::default();
    let heavy = Address { weight: 3, ..address("e2:80") };
    let client = fleet.balance(Config::default(), Static::new([address("e1:80"), heavy]));
    settled().await;
    let calls: Vec<_> = (0..400).map(|_| tokio::spawn(call(client.clone(), request()))).collect();
    settled().await;
    let in_flight: Vec<u64> = endpoints(&client).iter().map(|e| e.in_flight).collect();
    assert!((95..=105).contains(&in_flight[0]), "{in_flight:?}");
    for call in calls {
        assert_eq!(call.await.unwrap(), Code::Ok);
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_an_endpoint_is_to_blame_for_counts_against_it() {
    let fleet = Fleet::default();
    let client = fleet.balance(Config::default(), Static::new(addresses(&["e1:80"])));
    settled().await;
    let endpoint = fleet.at("e1:80");
    let second = Duration::from_secs(1);
    for (mode, counts) in [
        (SERVES, 0),
        (Mode::Answers(Code::NotFound), 0),
        (Mode::Answers(Code::Cancelled), 0),
        (Mode::Refuses, 0),
        (Mode::Answers(Code::Unavailable), 1),
        (Mode::Answers(Code::Internal), 1),
        // The code of a stream is that of its trailers.
        (Mode::Streams(second, Code::Ok), 0),
        (Mode::Streams(second, Code::InvalidArgument), 0),
        (Mode::Streams(second, Code::DataLoss), 1),
    ] {
        endpoint.set(mode);
        let before = failures(&client);
        call(client.clone(), request()).await;
        assert_eq!(failures(&client) - before, counts, "{mode:?}");
    }

    // Dropped: late and without any answer, early, late in the middle of a stream, without a deadline.
    for (mode, request, after_ms, counts) in [
        (Mode::Swallows, with_timeout("100m"), 100, 1),
        (Mode::Swallows, with_timeout("100m"), 99, 0),
        (Mode::Streams(second, Code::Ok), with_timeout("100m"), 200, 0),
        (Mode::Swallows, request(), 200, 0),
    ] {
        endpoint.set(mode);
        let before = failures(&client);
        assert!(timeout(Duration::from_millis(after_ms), call(client.clone(), request)).await.is_err());
        assert_eq!(failures(&client) - before, counts, "{mode:?} dropped after {after_ms} ms");
    }
    assert_eq!((endpoints(&client)[0].in_flight, endpoint.in_flight()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stream_takes_as_long_as_its_headers_and_is_in_flight_to_its_end() {
    let fleet = Fleet::default();
    let client = fleet.balance(Config::default(), Static::new(addresses(&["e1:80"])));
    settled().await;
    fleet.at("e1:80").set(Mode::Streams(Duration::from_secs(60), Code::Ok));
    let stream = tokio::spawn(call(client.clone(), request()));
    sleep(Duration::from_secs(1)).await;
    let endpoint = &endpoints(&client)[0];
    assert_eq!((endpoint.in_flight, endpoint.picks), (1, 1));
    assert!(endpoint.ewma_ms.unwrap() < 1.0);
    assert_eq!(stream.await.unwrap(), Code::Ok);
    assert_eq!(endpoints(&client)[0].in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_without_an_answer_yet_gets_one_call_at_a_time() {
    let fleet = Fleet::default();
    let (send, receive) = watch::channel(addresses(&["e1:80"]));
    let client = fleet.balance(Config::default(), seawall_balance::Watched::new(receive));
    settled().await;
    assert_eq!(call(client.clone(), request()).await, Code::Ok);
    fleet.at("e2:80").set(Mode::Swallows);
    send.send(addresses(&["e1:80", "e2:80"])).unwrap();
    settled().await;
    let mut calls: Vec<_> = (0..100).map(|_| Box::pin(call(client.clone(), request()))).collect();
    let all = futures_util::future::join_all(calls.iter_mut());
    assert!(timeout(Duration::from_millis(100), all).await.is_err());
    assert_eq!(fleet.calls(), [100, 1]);
}

/// As a hedge does that has its answer from elsewhere: of an endpoint that is always the slower one
/// no call would ever tell how slow it is.
#[tokio::test(start_paused = true)]
async fn an_endpoint_whose_calls_are_given_up_gets_few_of_them() {
    for slow in [Mode::Swallows, Mode::Serves(Duration::from_secs(2))] {
        let fleet = Fleet::default();
        let client = fleet.balance(Config::default(), Static::new(addresses(&["e1:80", "e2:80"])));
        settled().await;
        fleet.at("e2:80").set(slow);
        for _ in 0..500 {
            let _ = timeout(Duration::from_millis(100), call(client.clone(), request())).await;
        }
        assert!(fleet.calls()[1] <= 25, "{slow:?}: {:?}", fleet.calls());
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_call_counts_where_the_endpoint_itself_ends_it() {
    let fleet = Fleet::default();
    let endpoint = fleet.at("e1:80");
    endpoint.set(Mode::Swallows);
    let forward = ForwardLayer::new(Duration::from_millis(5));
    let client = Builder::try_new("inside", Config::default()).unwrap().build(
        Static::new(addresses(&["e1:80"])),
        move |_| Plain(forward.layer(endpoint.clone())),
        |_: &str| Classifier::new(Direction::Outbound, false),
    );
    let bound = BoundLayer::new(|_: &str| Duration::from_secs(1));
    assert_eq!(call(bound.layer(client.clone()), request()).await, Code::DeadlineExceeded);
    assert_eq!(client.snapshot(Instant::now().into_std()).endpoints[0].failures, 1);
}

#[tokio::test(start_paused = true)]
async fn without_outlier_detection_nothing_is_ejected() {
    let fleet = Fleet::default();
    let config = Config { outlier: None, ..Config::default() };
    let client = fleet.balance(config, Static::new(addresses(&["e1:80", "e2:80"])));
    fleet.at("e1:80").set(Mode::Answers(Code::Unavailable));
    for _ in 0..600 {
        call(client.clone(), request()).await;
        sleep(Duration::from_millis(100)).await;
    }
    assert!(endpoints(&client).iter().all(|endpoint| endpoint.ejected_for_ms.is_none()));
    // It is tried once a second all the same.
    assert!((50..70).contains(&fleet.calls()[0]), "{:?}", fleet.calls());
}

#[tokio::test(start_paused = true)]
async fn where_calls_are_rare_they_go_to_the_better_endpoint_too() {
    let fleet = Fleet::default();
    let client = fleet.balance(Config::default(), Static::new(addresses(&["e1:80", "e2:80"])));
    fleet.at("e2:80").set(Mode::Serves(Duration::from_millis(500)));
    for _ in 0..200 {
        assert_eq!(call(client.clone(), request()).await, Code::Ok);
        sleep(Duration::from_secs(2)).await;
    }
    let calls = fleet.calls();
    assert!((2..30).contains(&calls[1]), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_returns_is_tried_with_one_call_and_ejected_by_its_failure() {
    let fleet = Fleet::default();
    let client = fleet.balance(Config::default(), Static::new(addresses(&["e1:80", "e2:80"])));
    settled().await;
    let ejected_for_ms = || endpoints(&client)[1].ejected_for_ms;
    fleet.at("e2:80").set(Mode::Answers(Code::Unavailable));
    while ejected_for_ms().is_none() {
        call(client.clone(), request()).await;
        sleep(Duration::from_millis(100)).await;
    }
    fleet.at("e2:80").set(Mode::Swallows);
    while ejected_for_ms().is_some() {
        sleep(Duration::from_millis(100)).await;
    }
    let before = fleet.calls()[1];
    assert_eq!(before, 5);
    let calls = (0..100).map(|_| call(client.clone(), with_timeout("1S")));
    let together = timeout(Duration::from_secs(1), futures_util::future::join_all(calls));
    assert!(together.await.is_err());
    settled().await;
    assert_eq!(fleet.calls()[1] - before, 1);
    assert!(ejected_for_ms().is_some_and(|ms| ms > 50_000), "{:?}", ejected_for_ms());
}

#[tokio::test(start_paused = true)]
async fn the_live_state_has_the_endpoints() {
    let fleet = Fleet::default();
    let endpoint = fleet.clone();
    let client = Builder::try_new("shown", Config::default()).unwrap().build(
        Static::new(addresses(&["e1:80"])),
        move |address| endpoint.at(address.authority.as_str()),
        |_: &str| Classifier::new(Direction::Outbound, false),
    );
    settled().await;
    assert_eq!(call(client.clone(), request()).await, Code::Ok);
    let mut shown = seawall_provenance::snapshot()["endpoints"]["shown"].clone();
    let ewma_ms = &mut shown["endpoints"][0]["ewma_ms"];
    *ewma_ms = ewma_ms.as_f64().unwrap().round().into();
    let expected = serde_json::json!({
        "is_discovered": true,
        "endpoints": [{
            "address": "e1:80", "is_available": true, "is_serving": true, "ejected_for_ms": null, "ewma_ms": 10.0,
            "in_flight": 0, "picks": 1, "failures": 0,
        }],
    });
    assert_eq!(shown, expected);
    drop(client);
    settled().await;
    assert!(seawall_provenance::snapshot()["endpoints"].get("shown").is_none());
}
