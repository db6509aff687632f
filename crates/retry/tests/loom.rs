//! The atomics of the throttle and the budget under every interleaving of two threads.
#![cfg(seawall_loom)]

use std::time::{Duration, Instant};

use loom::sync::Arc;
use seawall_retry::{Budget, BudgetConfig, Throttle, ThrottleConfig};

/// Enough to find a lost update or a check that acts on what is no longer so.
fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

#[test]
fn no_token_is_lost_or_made_up() {
    model(|| {
        let throttle = Arc::new(Throttle::try_new(&ThrottleConfig { tokens_max: 4, token_ratio: 0.5 }).unwrap());
        throttle.failed();
        throttle.failed();
        let other = {
            let throttle = throttle.clone();
            loom::thread::spawn(move || {
                throttle.succeeded();
                throttle.failed();
            })
        };
        throttle.succeeded();
        throttle.succeeded();
        other.join().unwrap();
        assert_eq!(throttle.tokens(), 2.5);
    });
}

#[test]
fn of_those_that_contend_for_the_last_place_at_most_one_gets_it() {
    model(|| {
        let start = Instant::now();
        let config = BudgetConfig { ttl: Duration::from_secs(1), ratio: 1.0, min_per_second: 0 };
        let budget = Arc::new(Budget::try_new(&config, start).unwrap());
        budget.deposit(start);
        let other = {
            let budget = budget.clone();
            loom::thread::spawn(move || budget.withdraw(start))
        };
        let here = budget.withdraw(start);
        let there = other.join().unwrap();
        assert!(!(here && there));
        // What was refused is not held against the next one.
        assert_eq!(budget.left(start), u64::from(!(here || there)));
    });
}

#[test]
fn no_deposit_is_lost_when_a_slot_changes_hands() {
    model(|| {
        let start = Instant::now();
        let config = BudgetConfig { ttl: Duration::from_secs(1), ratio: 1.0, min_per_second: 0 };
        let budget = Arc::new(Budget::try_new(&config, start).unwrap());
        budget.deposit(start);
        // The slot of the first deposit, ten slices later.
        let later = start + Duration::from_secs(1);
        let other = {
            let budget = budget.clone();
            loom::thread::spawn(move || budget.deposit(later))
        };
        budget.deposit(later);
        other.join().unwrap();
        assert_eq!(budget.left(later), 2);
    });
}
