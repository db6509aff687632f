//! Picks against the probabilities that follow from asking all pairs.

use std::cell::RefCell;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, Copy)]
struct Fake {
    is_available: bool,
    load: u32,
}

fn fakes() -> impl Strategy<Value = Vec<Fake>> {
    let fake = (prop::bool::weighted(0.7), 0_u32..4).prop_map(|(is_available, load)| Fake { is_available, load });
    prop::collection::vec(fake, 1..9)
}

/// The chance of each endpoint: of all ordered pairs of available ones, the lower; the first of equals.
fn chances(fakes: &[Fake]) -> Vec<f64> {
    let available: Vec<usize> = (0..fakes.len()).filter(|i| fakes[*i].is_available).collect();
    let among = if available.is_empty() { (0..fakes.len()).collect() } else { available };
    let mut wins = vec![0.0; fakes.len()];
    if let [only] = among[..] {
        wins[only] = 1.0;
        return wins;
    }
    let pairs = (among.len() * (among.len() - 1)) as f64;
    for &first in &among {
        for &second in among.iter().filter(|second| **second != first) {
            let lower = if fakes[first].load <= fakes[second].load { first } else { second };
            wins[lower] += 1.0 / pairs;
        }
    }
    wins
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn endpoints_are_picked_as_often_as_all_pairs_would_have_it(fakes in fakes(), seed: u64) {
        const PICKS: usize = 20_000;
        let mut random = fastrand::Rng::with_seed(seed);
        let mut counts = vec![0_u32; fakes.len()];
        for _ in 0..PICKS {
            let picked = pick(&fakes, |f| f.is_available, |f| f64::from(f.load), |_, _| false, || random.f64());
            counts[picked.unwrap()] += 1;
        }
        for (chance, count) in chances(&fakes).into_iter().zip(counts) {
            let got = f64::from(count) / PICKS as f64;
            let sigma = (chance * (1.0 - chance) / PICKS as f64).sqrt();
            prop_assert!((got - chance).abs() <= 6.0 * sigma + 1e-9, "{} is not {} for {:?}", got, chance, fakes);
        }
    }

    #[test]
    fn one_that_is_due_gets_the_call_and_only_if_it_was_drawn(fakes in fakes(), seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let asked = RefCell::new(Vec::new());
        let picked = pick(
            &fakes,
            |f| f.is_available,
            |f| f64::from(f.load),
            |lower, f| { assert!(lower.load <= f.load); asked.borrow_mut().push(*f); true },
            || random.f64(),
        ).unwrap();
        let can_choose = chances(&fakes).iter().filter(|chance| **chance > 0.0).count() > 1;
        match asked.borrow()[..] {
            [] => prop_assert!(!can_choose || fakes.len() == 1),
            // The one asked is the one that lost by load, and is picked.
            [loser] => prop_assert_eq!((loser.load, loser.is_available), (fakes[picked].load, fakes[picked].is_available)),
            _ => prop_assert!(false, "several were asked"),
        }
    }
}

#[test]
fn without_endpoints_there_is_nothing_to_pick() {
    assert_eq!(pick(&[0_u8; 0], |_| true, |_| 0.0, |_, _| false, || 0.5), None);
}

#[test]
fn chance_at_its_ends_stays_inside() {
    for random in [0.0, 1.0 - f64::EPSILON, 1.0] {
        assert!(pick(&[0_u8; 3], |_| true, |_| 0.0, |_, _| false, || random).unwrap() < 3);
    }
}
