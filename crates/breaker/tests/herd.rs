//! A thousand callers of a peer that comes back, through the layer, under a paused clock.
#![cfg(not(seawall_loom))]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use seawall_breaker::{Breaker, BreakerLayer, Config, Kind, State, ThreeStateConfig};
use tokio::time::{Instant, advance, sleep};
use tonic::{Code, Status};
use tower::{Layer as _, ServiceExt as _, service_fn};

const CALLERS: usize = 1_000;

/// Takes a second for each call, and knows how many it has had at a time.
#[derive(Debug, Default)]
struct Peer {
    is_down: std::sync::atomic::AtomicBool,
    in_flight: AtomicUsize,
    in_flight_max: AtomicUsize,
    calls: AtomicUsize,
}

impl Peer {
    async fn answer(self: Arc<Self>) -> Result<Response<http_body_util::Empty<bytes::Bytes>>, Infallible> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let in_flight = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.in_flight_max.fetch_max(in_flight, Ordering::Relaxed);
        sleep(Duration::from_secs(1)).await;
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let code = if self.is_down.load(Ordering::Relaxed) { Code::Unavailable } else { Code::Ok };
        Ok(Status::new(code, "").into_http())
    }
}

/// All callers call at once; returns how many were answered with success.
async fn all_call(peer: &Arc<Peer>, breaker: &Arc<Breaker>) -> usize {
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (peer, breaker) = (Arc::clone(peer), Arc::clone(breaker));
            let inner = service_fn(move |_: Request<()>| Arc::clone(&peer).answer());
            let service = BreakerLayer::new(move |_: &str| Some(Arc::clone(&breaker))).layer(inner);
            tokio::spawn(async move {
                let response = service.oneshot(Request::new(())).await.unwrap();
                let headers = response.headers().clone();
                response.into_body().collect().await.unwrap();
                Status::from_header_map(&headers).unwrap().code() == Code::Ok
            })
        })
        .collect();
    let mut successes = 0;
    for caller in callers {
        successes += usize::from(caller.await.unwrap());
    }
    successes
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_comes_back_gets_ten_probes_and_no_herd() {
    let config = ThreeStateConfig { jitter: 0.0, ..ThreeStateConfig::default() };
    let (probes, open_time) = (config.probes as usize, config.open_time);
    let config = Config { kind: Kind::ThreeState(config) };
    let breaker = Arc::new(Breaker::try_new("peer", "Method", config, Instant::now().into_std()).unwrap());
    let peer = Arc::new(Peer::default());
    let state = || breaker.snapshot(Instant::now().into_std()).state;

    peer.is_down.store(true, Ordering::Relaxed);
    assert_eq!((all_call(&peer, &breaker).await, state()), (0, State::Open));
    peer.in_flight_max.store(0, Ordering::Relaxed);
    peer.calls.store(0, Ordering::Relaxed);
    assert_eq!((all_call(&peer, &breaker).await, peer.calls.load(Ordering::Relaxed)), (0, 0), "left alone");

    // Still down: it gets the probes, and is left alone for twice the time.
    advance(open_time).await;
    assert_eq!((all_call(&peer, &breaker).await, state()), (0, State::Open));
    assert_eq!(peer.calls.load(Ordering::Relaxed), probes);

    peer.is_down.store(false, Ordering::Relaxed);
    advance(open_time * 2).await;
    assert_eq!((all_call(&peer, &breaker).await, state()), (probes, State::Closed));
    assert_eq!(peer.in_flight_max.load(Ordering::Relaxed), probes);
    assert_eq!(all_call(&peer, &breaker).await, CALLERS);
}
