//! Both breakers under every interleaving of its callers.
#![cfg(seawall_loom)]

use std::time::{Duration, Instant};

use loom::sync::Arc;
use loom::thread;
use seawall_breaker::{AdaptiveConfig, Breaker, Config, Kind, Permit, State, ThreeStateConfig};
use seawall_classify::Outcome;

const OPEN_TIME: Duration = Duration::from_secs(5);

/// Opens at the second failure in a row.
fn breaker(origin: Instant, probes: u32) -> Arc<Breaker> {
    let config = ThreeStateConfig {
        buckets: 1,
        consecutive_failures: Some(2),
        open_time: OPEN_TIME,
        jitter: 0.0,
        probes,
        ..ThreeStateConfig::default()
    };
    Arc::new(Breaker::try_new("peer", "Method", Config { kind: Kind::ThreeState(config) }, origin).unwrap())
}

fn end(breaker: &Breaker, now: Instant, permit: Permit, outcome: Outcome) {
    breaker.record(now, permit, outcome, Duration::ZERO);
}

fn opened(origin: Instant, probes: u32) -> Arc<Breaker> {
    let breaker = breaker(origin, probes);
    for _ in 0..2 {
        end(&breaker, origin, breaker.admit(origin, 0.0).unwrap(), Outcome::Failure);
    }
    breaker
}

/// Bounded, so that each model takes a few seconds: most races need two switches of threads.
fn model(test: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(test);
}

#[test]
fn two_failures_at_once_open_it_once_and_nobody_is_let_through_after() {
    model(|| {
        let origin = Instant::now();
        let breaker = breaker(origin, 1);
        let permits = [breaker.admit(origin, 0.0).unwrap(), breaker.admit(origin, 0.0).unwrap()];
        let failing = permits.map(|permit| {
            let breaker = Arc::clone(&breaker);
            thread::spawn(move || end(&breaker, origin, permit, Outcome::Failure))
        });
        // A call at the same time either passes or is told the whole open time.
        if let Err(refusal) = breaker.admit(origin, 0.0) {
            assert_eq!(refusal.retry_after, Some(OPEN_TIME));
        }
        for thread in failing {
            thread.join().unwrap();
        }
        assert!(breaker.admit(origin, 0.0).is_err());
        assert_eq!(breaker.snapshot(origin).transitions_total, 1);
    });
}

#[test]
fn at_half_open_the_place_goes_to_one_of_three() {
    model(|| {
        let origin = Instant::now();
        let (breaker, now) = (opened(origin, 1), origin + OPEN_TIME);
        let callers = [(); 2].map(|()| {
            let breaker = Arc::clone(&breaker);
            thread::spawn(move || breaker.admit(now, 0.0).ok())
        });
        let mut permits: Vec<Permit> = breaker.admit(now, 0.0).ok().into_iter().collect();
        for caller in callers {
            permits.extend(caller.join().unwrap());
        }
        assert_eq!(permits.len(), 1);
        assert_eq!(breaker.snapshot(now).three_state.unwrap().probes_in_flight, 1);
        assert!(breaker.is_open(now));
    });
}

#[test]
fn a_place_that_is_given_back_is_there_for_the_next() {
    model(|| {
        let origin = Instant::now();
        let (breaker, now) = (opened(origin, 1), origin + OPEN_TIME);
        let probe = breaker.admit(now, 0.0).unwrap();
        let giving_back = {
            let breaker = Arc::clone(&breaker);
            thread::spawn(move || end(&breaker, now, probe, Outcome::Cancelled))
        };
        let other = breaker.admit(now, 0.0);
        giving_back.join().unwrap();
        let probe = other.or_else(|_| breaker.admit(now, 0.0)).expect("the place is free");
        assert!(breaker.admit(now, 0.0).is_err(), "and it is one");
        end(&breaker, now, probe, Outcome::Success);
        assert_eq!(breaker.snapshot(now).state, State::Closed);
    });
}

#[test]
fn probes_that_disagree_lead_to_one_verdict() {
    model(|| {
        let origin = Instant::now();
        let (breaker, now) = (opened(origin, 2), origin + OPEN_TIME);
        let mut failing = breaker.admit(now, 0.0).unwrap();
        let succeeding = breaker.admit(now, 0.0).unwrap();
        let failed = {
            let breaker = Arc::clone(&breaker);
            thread::spawn(move || {
                breaker.answering(&mut failing);
                end(&breaker, now, failing, Outcome::Failure);
            })
        };
        end(&breaker, now, succeeding, Outcome::Success);
        failed.join().unwrap();
        let snapshot = breaker.snapshot(now);
        assert_eq!((snapshot.state, snapshot.transitions_total), (State::Open, 3), "half of the probes failed");
        assert_eq!(snapshot.three_state.unwrap().openings, 2);
    });
}

#[test]
fn a_reset_at_the_time_of_an_opening_leaves_no_half_state() {
    model(|| {
        let origin = Instant::now();
        let breaker = breaker(origin, 1);
        end(&breaker, origin, breaker.admit(origin, 0.0).unwrap(), Outcome::Failure);
        let permit = breaker.admit(origin, 0.0).unwrap();
        let failing = {
            let breaker = Arc::clone(&breaker);
            thread::spawn(move || end(&breaker, origin, permit, Outcome::Failure))
        };
        breaker.reset();
        failing.join().unwrap();
        assert_eq!(breaker.snapshot(origin).state, State::Closed, "either it was not yet open, or is no more");
        assert!(breaker.admit(origin, 0.0).is_ok());
    });
}

#[test]
fn a_throttle_begins_once_and_forces_one_call_through_at_a_time() {
    model(|| {
        let origin = Instant::now();
        let config = AdaptiveConfig { buckets: 1, protection: 0, ..AdaptiveConfig::default() };
        let force_pass_after = config.force_pass_after;
        let config = Config { kind: Kind::Adaptive(config) };
        let breaker = Arc::new(Breaker::try_new("peer", "Method", config, origin).unwrap());
        for permit in [breaker.admit(origin, 0.0).unwrap(), breaker.admit(origin, 0.0).unwrap()] {
            end(&breaker, origin, permit, Outcome::Failure);
        }
        let both = |now: Instant| {
            let other = Arc::clone(&breaker);
            let other = thread::spawn(move || other.admit(now, 0.0).is_ok());
            usize::from(breaker.admit(now, 0.0).is_ok()) + usize::from(other.join().unwrap())
        };
        assert_eq!(both(origin), 0);
        assert_eq!(breaker.snapshot(origin).transitions_total, 1);
        assert_eq!(both(origin + force_pass_after + Duration::from_millis(1)), 1);
    });
}
