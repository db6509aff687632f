//! What a breaker is for: a peer that fails is left alone soon, and not run over when it comes back.
#![cfg(not(seawall_loom))]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use seawall_breaker::{AdaptiveConfig, Breaker, Config, Kind, State, ThreeStateConfig};
use seawall_classify::Outcome;

const ELAPSED: Duration = Duration::from_millis(5);

/// A call every `interval` from `from` until `to`; returns how many were let through.
fn calls(
    breaker: &Breaker,
    from: Instant,
    to: Instant,
    interval: Duration,
    random: &mut fastrand::Rng,
    outcome: Outcome,
) -> (u32, u32) {
    let (mut now, mut passed, mut made) = (from, 0, 0);
    while now < to {
        made += 1;
        if let Ok(permit) = breaker.admit(now, random.f64()) {
            breaker.record(now + ELAPSED, permit, outcome, ELAPSED);
            passed += 1;
        }
        now += interval;
    }
    (passed, made)
}

#[test]
fn a_three_state_breaker_opens_within_its_window() {
    for calls_per_second in [3, 10, 100, 1_000, 10_000] {
        let origin = Instant::now();
        let config = ThreeStateConfig::default();
        let window = config.window;
        let breaker = Breaker::try_new("peer", "Method", Config { kind: Kind::ThreeState(config) }, origin).unwrap();
        let (interval, mut random) = (Duration::from_secs(1) / calls_per_second, fastrand::Rng::with_seed(1));
        let down = origin + Duration::from_secs(30);
        calls(&breaker, origin, down, interval, &mut random, Outcome::Success);
        assert_eq!(breaker.snapshot(down).state, State::Closed);
        let mut now = down;
        while breaker.snapshot(now).state == State::Closed {
            calls(&breaker, now, now + interval, interval, &mut random, Outcome::Failure);
            now += interval;
        }
        let opened_after = now - down;
        println!("{calls_per_second} calls/s: opened after {opened_after:?}");
        assert!(opened_after <= window, "{calls_per_second} calls/s: opened after {opened_after:?}");
    }
}

#[test]
fn a_throttle_drops_nearly_all_within_two_windows_and_nothing_a_window_after_recovery() {
    for calls_per_second in [10, 100, 1_000] {
        let origin = Instant::now();
        let config = AdaptiveConfig::default();
        let window = config.window;
        let breaker = Breaker::try_new("peer", "Method", Config { kind: Kind::Adaptive(config) }, origin).unwrap();
        let (interval, mut random) = (Duration::from_secs(1) / calls_per_second, fastrand::Rng::with_seed(1));
        let mut now = origin;
        let mut run = |length, outcome| {
            let counts = calls(&breaker, now, now + length, interval, &mut random, outcome);
            now += length;
            (counts, breaker.snapshot(now).state)
        };
        assert_eq!(run(window * 3, Outcome::Success).1, State::Passing);
        assert_eq!(run(window, Outcome::Failure).1, State::Throttling, "within its window");
        run(window, Outcome::Failure);
        let ((passed, made), _) = run(window, Outcome::Failure);
        println!("{calls_per_second} calls/s: the third window of a peer that is down lets {passed} of {made} through");
        assert!(passed * 10 <= made + 100, "{passed} of {made} passed");
        assert!(passed >= 9, "{passed} passed: without any the peer is never seen to be well again");
        // A window after the first call that passes, which one does within a second and its bucket.
        run(window + Duration::from_millis(1_500), Outcome::Success);
        let ((passed, made), state) = run(window, Outcome::Success);
        assert_eq!((passed, state), (made, State::Passing), "it is well again");
    }
}

/// A thousand callers at the moment that the open time has passed.
#[test]
fn no_herd_gets_through_at_half_open() {
    const THREADS: usize = 20;
    const CALLS: usize = 50;
    for _ in 0..20 {
        let origin = Instant::now();
        let config = ThreeStateConfig { consecutive_failures: Some(1), jitter: 0.0, ..Default::default() };
        let (probes, open_time) = (config.probes, config.open_time);
        let config = Config { kind: Kind::ThreeState(config) };
        let breaker = Arc::new(Breaker::try_new("peer", "Method", config, origin).unwrap());
        let permit = breaker.admit(origin, 0.0).unwrap();
        breaker.record(origin, permit, Outcome::Failure, ELAPSED);
        let (start, passed) = (Barrier::new(THREADS), AtomicUsize::new(0));
        let now = origin + open_time;
        let permits: Vec<_> = thread::scope(|scope| {
            let threads = [(); THREADS].map(|()| {
                scope.spawn(|| {
                    start.wait();
                    let permits: Vec<_> = (0..CALLS).filter_map(|_| breaker.admit(now, 0.0).ok()).collect();
                    passed.fetch_add(permits.len(), Ordering::Relaxed);
                    permits
                })
            });
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(passed.load(Ordering::Relaxed), probes as usize);
        for permit in permits {
            assert!(breaker.is_open(now), "all places are taken until the last probe has ended");
            breaker.record(now, permit, Outcome::Success, ELAPSED);
        }
        assert_eq!(breaker.snapshot(now).state, State::Closed);
    }
}
