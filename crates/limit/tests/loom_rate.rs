//! The buckets under every interleaving of their callers.
#![cfg(seawall_loom)]

use std::time::{Duration, Instant};

use loom::sync::Arc;
use loom::thread;
use seawall_limit::{Ask, Decision, LeakyBucket, RateConfig, RateKind, TokenBucket};

const NEW: Ask = Ask { is_returning: false, remaining: None };
const BACK: Ask = Ask { is_returning: true, remaining: None };

/// A token each 100 ms.
fn config(burst: u32, queue_max: Option<u32>) -> RateConfig {
    let kind = queue_max.map_or(RateKind::TokenBucket, |queue_max| RateKind::LeakyBucket { queue_max });
    RateConfig { rate_per_second: 10.0, burst, kind, ..RateConfig::default() }
}

#[test]
fn a_token_is_given_once_and_each_refused_caller_is_told_a_time_of_its_own() {
    loom::model(|| {
        let now = Instant::now();
        let bucket = Arc::new(TokenBucket::try_new(&config(1, None), now).unwrap());
        let callers = [(); 2].map(|()| {
            let bucket = Arc::clone(&bucket);
            thread::spawn(move || bucket.try_take(now, NEW))
        });
        let mut answers = vec![bucket.try_take(now, NEW)];
        answers.extend(callers.map(|caller| caller.join().unwrap()));
        let mut told: Vec<u128> =
            answers.iter().filter_map(|answer| answer.err()).map(|refused| refused.retry_after.as_millis()).collect();
        told.sort_unstable();
        assert_eq!(told, [100, 200]);
    });
}

#[test]
fn a_newcomer_does_not_get_what_is_promised() {
    loom::model(|| {
        let start = Instant::now();
        let bucket = Arc::new(TokenBucket::try_new(&config(1, None), start).unwrap());
        bucket.try_take(start, NEW).unwrap();
        let due = start + bucket.try_take(start, NEW).unwrap_err().retry_after;
        let newcomer = {
            let bucket = Arc::clone(&bucket);
            thread::spawn(move || bucket.try_take(due, NEW))
        };
        assert_eq!(bucket.try_take(due, BACK), Ok(()));
        assert!(newcomer.join().unwrap().is_err());
    });
}

#[test]
fn a_place_that_is_given_back_is_taken_once() {
    loom::model(|| {
        let now = Instant::now();
        let bucket = Arc::new(LeakyBucket::try_new(&config(1, Some(1)), now).unwrap());
        let wait = |decision| match decision {
            Decision::Wait(wait) => wait,
            other => panic!("{other:?}"),
        };
        assert_eq!(bucket.try_take(now, NEW), Decision::Pass);
        let place = wait(bucket.try_take(now, NEW));
        // Without time for the next token, so that nothing else is promised meanwhile.
        let short = Ask { remaining: Some(Duration::from_millis(110)), ..NEW };
        let other = {
            let bucket = Arc::clone(&bucket);
            thread::spawn(move || bucket.try_take(now, short))
        };
        bucket.give_back(place);
        let waits = [other.join().unwrap(), bucket.try_take(now, short)];
        let count = waits.iter().filter(|decision| matches!(decision, Decision::Wait(_))).count();
        assert_eq!(count, 1, "{waits:?}");
    });
}
