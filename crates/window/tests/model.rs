//! The window against an obviously right one: all events in a `Vec`.
#![cfg(not(seawall_loom))]

use std::time::{Duration, Instant};

use proptest::prelude::*;
use seawall_window::{ConfigError, Window};

/// An event: milliseconds after the one before (or before it), a counter, how many.
type Event = (i64, usize, u64);

/// Time goes mostly forward, by anything from nothing to several windows, and sometimes back by less
/// than a window, as when two threads have read the clock in the other order.
fn event(window_ms: i64) -> impl Strategy<Value = Event> {
    let advance =
        prop_oneof![4 => 0..=window_ms / 4, 2 => 0..=window_ms, 1 => 0..=5 * window_ms, 1 => -window_ms / 4..=0];
    (advance, 0usize..2, 0u64..5)
}

fn case() -> impl Strategy<Value = (u64, usize, Vec<Event>)> {
    (1u64..50, 1usize..12).prop_flat_map(|(width_ms, buckets)| {
        let window_ms = width_ms as i64 * buckets as i64;
        (Just(width_ms), Just(buckets), prop::collection::vec(event(window_ms), 1..200))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sums_and_buckets_are_those_of_the_events((width_ms, buckets, events) in case()) {
        let origin = Instant::now();
        let window = Window::<2>::try_new(Duration::from_millis(width_ms), buckets, origin).unwrap();
        let mut happened: Vec<(u64, usize, u64)> = Vec::new();
        let (mut now_ms, mut newest_ms) = (0i64, 0i64);
        for (advance_ms, counter, n) in events {
            // Never back by more than a window behind the newest event.
            let oldest_ms = newest_ms - (width_ms * (buckets as u64 - 1)) as i64;
            now_ms = (now_ms + advance_ms).max(oldest_ms).max(0);
            newest_ms = newest_ms.max(now_ms);
            window.add(origin + Duration::from_millis(now_ms as u64), counter, n);
            happened.push((now_ms as u64 / width_ms, counter, n));

            let now = origin + Duration::from_millis(newest_ms as u64);
            let tick = newest_ms as u64 / width_ms;
            let expected: Vec<[u64; 2]> = (0..buckets as u64).map(|age| {
                let of = |counter| happened.iter()
                    .filter(|event| event.0 + age == tick && event.1 == counter).map(|event| event.2).sum();
                [of(0), of(1)]
            }).collect();
            prop_assert_eq!(window.buckets(now).collect::<Vec<_>>(), expected.clone());
            let sum = expected.iter().fold([0, 0], |sum, bucket| [sum[0] + bucket[0], sum[1] + bucket[1]]);
            prop_assert_eq!(window.sum(now), sum);
        }
        window.clear();
        prop_assert_eq!(window.sum(origin + Duration::from_millis(newest_ms as u64)), [0, 0]);
    }
}

#[test]
fn time_before_the_origin_is_the_origin() {
    let origin = Instant::now() + Duration::from_secs(60);
    let window = Window::<1>::try_new(Duration::from_secs(1), 2, origin).unwrap();
    window.add(origin - Duration::from_secs(30), 0, 1);
    assert_eq!(window.sum(origin), [1]);
    assert_eq!(window.span(), Duration::from_secs(2));
}

#[test]
fn a_window_that_cannot_be_says_what_is_allowed() {
    let mistake = |width, buckets| Window::<1>::try_new(width, buckets, Instant::now()).unwrap_err();
    let second = Duration::from_secs(1);
    assert_eq!(mistake(Duration::ZERO, 10), ConfigError::Width(Duration::ZERO));
    assert_eq!(mistake(Duration::from_micros(999), 10).to_string(), "width_of_bucket = 999µs: must be 1ms to 3600s");
    assert_eq!(mistake(second * 3_601, 10), ConfigError::Width(second * 3_601));
    assert_eq!(mistake(second, 0).to_string(), "buckets = 0: must be 1 to 1024");
    assert_eq!(mistake(second, 1_025), ConfigError::Buckets(1_025));
}
