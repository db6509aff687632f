//! That subsets are even, stay the same, and change little.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn endpoints(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("10.0.{}.{}:50051", n / 250, n % 250)).collect()
}

fn subset(client_id: u64, size: usize, endpoints: &[String]) -> BTreeSet<String> {
    Subset { client_id, size }.of(endpoints.to_vec(), String::clone).into_iter().collect()
}

/// How many of the clients use each endpoint.
fn spread(clients: std::ops::Range<u64>, size: usize, endpoints: &[String]) -> BTreeMap<String, u32> {
    let mut spread: BTreeMap<String, u32> = endpoints.iter().map(|name| (name.clone(), 0)).collect();
    for name in clients.flat_map(|client| subset(client, size, endpoints)) {
        *spread.get_mut(&name).unwrap() += 1;
    }
    spread
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_has_its_size_and_does_not_depend_on_the_order(client: u64, size in 1_usize..30, count in 0_usize..100) {
        let names = endpoints(count);
        let got = subset(client, size, &names);
        prop_assert_eq!(got.len(), size.min(count));
        let reversed: Vec<String> = names.into_iter().rev().collect();
        prop_assert_eq!(got, subset(client, size, &reversed));
    }

    #[test]
    fn the_clients_of_a_round_use_all_endpoints_alike(round in 0_u64..50, size in 1_usize..30, count in 1_usize..200) {
        let names = endpoints(count);
        let spread = spread(round * ROUND..(round + 1) * ROUND, size, &names);
        let (min, max) = (spread.values().min().unwrap(), spread.values().max().unwrap());
        prop_assert!(max - min <= 1, "{} to {} clients", min, max);
    }

    #[test]
    fn a_change_of_one_endpoint_changes_at_most_two(client: u64, size in 1_usize..30, count in 2_usize..200, gone: prop::sample::Index) {
        let names = endpoints(count);
        let mut fewer = names.clone();
        fewer.remove(gone.index(count));
        let (before, after) = (subset(client, size, &names), subset(client, size, &fewer));
        prop_assert!(before.difference(&after).count() <= 2 && after.difference(&before).count() <= 2);
    }
}

#[test]
fn many_rounds_stay_even_and_a_restart_moves_few() {
    let (clients, size, names) = (0..300, 20, endpoints(300));
    let spread = spread(clients.clone(), size, &names);
    let (min, max) = (spread.values().min().unwrap(), spread.values().max().unwrap());
    let moved: usize = clients
        .clone()
        .map(|client| subset(client, size, &names).difference(&subset(client, size, &names[1..])).count())
        .sum();
    println!(
        "300 clients of 20 among 300 endpoints: {min} to {max} clients each (20 is even); one gone moves {moved} of 6000"
    );
    assert!(*min >= 14 && *max <= 26, "{min} to {max}");
    // Those that used it, and less than two in each of the others.
    assert!((14..=300).contains(&moved), "{moved}");
}
