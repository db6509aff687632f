//! The ring against a search through all points, and what makes hashing consistent and bounded.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn names() -> impl Strategy<Value = Vec<String>> {
    prop::collection::btree_set("[a-z]{1,8}:[0-9]{4}", 1..12).prop_map(|set| set.into_iter().collect())
}

fn ring(names: &[String]) -> Ring {
    Ring::new(names.iter().map(|name| (name.as_str(), 1)))
}

fn keys() -> impl Iterator<Item = String> {
    (0..500).map(|n| format!("user-{n}"))
}

/// The acceptable endpoint with a point at the least distance behind the key.
fn slow_pick(weighted: &[(String, u32)], key: &str, acceptable: impl Fn(usize) -> bool) -> Option<usize> {
    let place = hash(u64::MAX, key.as_bytes());
    let distances =
        weighted.iter().enumerate().filter(|(index, _)| acceptable(*index)).flat_map(|(index, (name, weight))| {
            (0..weight * 100).map(move |n| (hash(u64::from(n), name.as_bytes()).wrapping_sub(place), index))
        });
    distances.min().map(|(_, index)| index)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_key_goes_to_the_next_acceptable_point(names in names(), weights in prop::collection::vec(1_u32..4, 12), refused: u16) {
        let weighted: Vec<(String, u32)> = names.into_iter().zip(weights).collect();
        let ring = Ring::new(weighted.iter().map(|(name, weight)| (name.as_str(), *weight)));
        let acceptable = |index: usize| refused >> index & 1 == 0;
        for key in keys().take(50) {
            prop_assert_eq!(ring.pick(key.as_bytes(), acceptable), slow_pick(&weighted, &key, acceptable));
        }
    }

    #[test]
    fn one_that_comes_takes_keys_only_to_itself(names in names(), new in "[A-Z]{1,8}:[0-9]{4}") {
        let before = ring(&names);
        let more: Vec<String> = names.iter().cloned().chain([new]).collect();
        let after = ring(&more);
        let mut moved = 0;
        for key in keys() {
            let (old, now) = (before.pick(key.as_bytes(), |_| true), after.pick(key.as_bytes(), |_| true).unwrap());
            if old != Some(now) {
                moved += 1;
                prop_assert_eq!(now, names.len());
            }
        }
        // Its share is 1/n of the keys; with 100 points each it seldom has twice that.
        prop_assert!(moved <= 500 * 5 / 2 / more.len(), "{} of 500 moved with {} endpoints", moved, more.len());
    }

    #[test]
    fn nobody_has_more_than_the_bound(names in names(), keys in prop::collection::vec(0_u32..20, 1..200), factor in 1.01_f64..2.0) {
        let ring = ring(&names);
        let mut in_flight = vec![0_u64; names.len()];
        for (before, key) in keys.iter().enumerate() {
            let capacity = capacity(before as u64, names.len(), factor);
            let picked = ring.pick(&key.to_le_bytes(), |index| in_flight[index] < capacity);
            // There always is room: the bounds of all add up to more than the calls.
            in_flight[picked.unwrap()] += 1;
        }
        let bound = (factor * keys.len() as f64 / names.len() as f64).ceil() as u64;
        prop_assert!(in_flight.iter().all(|n| *n <= bound), "{:?} over {}", in_flight, bound);
    }
}

#[test]
fn weight_is_a_share_of_the_keys() {
    let ring = Ring::new([("a:1", 1), ("b:1", 3)]);
    let of_b = keys().filter(|key| ring.pick(key.as_bytes(), |_| true) == Some(1)).count();
    assert!((325..=425).contains(&of_b), "{of_b} of 500 instead of 375");
}

#[test]
fn points_do_not_depend_on_the_process_or_the_order() {
    let names: Vec<String> = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"].map(str::to_owned).into();
    let owners: BTreeMap<String, String> = keys()
        .take(12)
        .map(|key| (key.clone(), names[ring(&names).pick(key.as_bytes(), |_| true).unwrap()].clone()))
        .collect();
    // Other clients, and other versions of this crate, send a key to the same endpoint.
    let last: String = owners.values().map(|name| &name[7..8]).collect();
    assert_eq!(last, "331131331221");
    let reversed: Vec<String> = names.iter().rev().cloned().collect();
    for (key, owner) in &owners {
        assert_eq!(&reversed[ring(&reversed).pick(key.as_bytes(), |_| true).unwrap()], owner);
    }
    assert_eq!(owners.values().collect::<BTreeSet<_>>().len(), 3);
}

#[test]
fn without_endpoints_there_is_nothing_to_pick() {
    assert_eq!(ring(&[]).pick(b"key", |_| true), None);
}
