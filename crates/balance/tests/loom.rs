//! What threads can do to the atomics, in all orders that matter.
//! `RUSTFLAGS="--cfg seawall_loom" CARGO_TARGET_DIR=target/loom cargo test -p seawall-balance --test loom`
#![cfg(seawall_loom)]

use std::time::{Duration, Instant};

use loom::sync::Arc;
use loom::thread;
use seawall_balance::outlier::{Action, Outlier, Tracker};
use seawall_balance::{Ewma, FailurePercentage, Load, OutlierConfig};

const DECAY: Duration = Duration::from_secs(10);

/// Two preemptions find nearly all that there is to find, in a second.
fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

#[test]
fn a_peak_is_never_lost() {
    check(|| {
        let origin = Instant::now();
        let ewma = Arc::new(Ewma::new(DECAY, origin));
        ewma.observe(origin, Duration::from_millis(10));
        let threads = [20_u64, 30].map(|ms| {
            let ewma = Arc::clone(&ewma);
            thread::spawn(move || ewma.observe(origin, Duration::from_millis(ms)))
        });
        // Never a mix of two: one of the values that there were.
        let seen = ewma.estimate_us(origin).unwrap().round() as u64;
        assert!([10_000, 20_000, 30_000].contains(&seen), "{seen}");
        for thread in threads {
            thread.join().unwrap();
        }
        // The others pull it down by the time that has passed, which is none.
        assert_eq!(ewma.estimate_us(origin).unwrap().round() as u64, 30_000);
    });
}

#[test]
fn calls_in_flight_come_back_to_zero_and_one_forced_pick_is_one() {
    check(|| {
        let origin = Instant::now();
        let load = Arc::new(Load::new(DECAY, origin));
        let later = origin + Duration::from_secs(2);
        let threads = [(), ()].map(|()| {
            let load = Arc::clone(&load);
            thread::spawn(move || {
                let is_forced = load.claim_forced(later, Duration::from_secs(1));
                load.picked(later);
                assert!(load.in_flight() >= 1);
                load.finished();
                is_forced
            })
        });
        let forced = threads.map(|thread| thread.join().unwrap());
        assert!(!(forced[0] && forced[1]));
        assert_eq!((load.in_flight(), load.picks()), (0, 2));
    });
}

#[test]
fn calls_that_end_during_sweeps_are_counted_once_and_one_of_them_is_the_limit() {
    check(|| {
        let now = Instant::now();
        let config = OutlierConfig { consecutive_failures: Some(2), ..OutlierConfig::default() };
        let outlier = Arc::new(Outlier::try_new(config).unwrap());
        let trackers = Arc::new([Tracker::default(), Tracker::default()]);
        let threads = [(), ()].map(|()| {
            let (outlier, trackers) = (Arc::clone(&outlier), Arc::clone(&trackers));
            thread::spawn(move || outlier.record(&trackers[0], false))
        });
        let all = [&trackers[0], &trackers[1]];
        let during = outlier.sweep(now, &all, || 0.0);
        let told = threads.map(|thread| thread.join().unwrap());
        assert!(told[0] ^ told[1], "the second failure, and only it, asks for a check");
        assert_eq!(trackers[0].failures(), 2);
        let verdicts: Vec<_> = during.into_iter().chain(outlier.check_consecutive(now, &all)).collect();
        let ejected = verdicts.iter().filter(|verdict| matches!(verdict.action, Action::Ejected(_))).count();
        assert_eq!((ejected, trackers[0].is_ejected()), (1, true));
    });
}

#[test]
fn a_call_that_ends_during_a_sweep_counts_in_one_interval() {
    check(|| {
        let now = Instant::now();
        // Every failure makes an outlier, and none is ejected: so each sweep tells what it has counted.
        let failure_percentage =
            FailurePercentage { threshold_percent: 0, enforcement_percent: 0, minimum_hosts: 1, request_volume: 1 };
        let config = OutlierConfig {
            success_rate: None,
            failure_percentage: Some(failure_percentage),
            consecutive_failures: None,
            ..OutlierConfig::default()
        };
        let outlier = Arc::new(Outlier::try_new(config).unwrap());
        let tracker = Arc::new(Tracker::default());
        let calls = {
            let (outlier, tracker) = (Arc::clone(&outlier), Arc::clone(&tracker));
            thread::spawn(move || [(); 2].map(|()| outlier.record(&tracker, false)))
        };
        let mut counted = 0;
        let mut sweep = || counted += outlier.sweep(now, &[&tracker], || 0.0).iter().map(|v| v.failures).sum::<u64>();
        sweep();
        calls.join().unwrap();
        sweep();
        assert_eq!(counted, 2);
    });
}
