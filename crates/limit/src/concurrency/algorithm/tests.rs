//! The algorithms against models that know the whole history, and with a server that queues.

use proptest::prelude::{ProptestConfig, Strategy, proptest};

use super::*;

fn measured() -> impl Strategy<Value = Measured> {
    (1u32..2_000, 0u32..300, 0u32..20, proptest::bool::ANY).prop_map(|(rtt_ms, in_flight_max, drops, is_binding)| {
        let (rtt_s, was_overloaded) = (f64::from(rtt_ms) / 1e3, drops == 0);
        Measured { rtt_s, deviation_s: 0.0, in_flight_max, was_overloaded, is_binding }
    })
}

/// The long-term mean of Gradient2 after all of `rtts_s`, each with what a recovery left of it.
fn long_term(history: &[(f64, bool)], windows_max: u32) -> f64 {
    let mut mean_s = 0.0;
    for (at, (rtt_s, was_recovery)) in history.iter().enumerate() {
        let weight = if at < 10 { 1.0 / (at as f64 + 1.0) } else { 2.0 / (f64::from(windows_max) + 1.0) };
        mean_s = mean_s * (1.0 - weight) + rtt_s * weight;
        mean_s *= if *was_recovery { 0.9 } else { 1.0 };
    }
    mean_s
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn gradient2_is_its_formula(windows in proptest::collection::vec(measured(), 1..150)) {
        let config = Gradient2Config { probe_windows: 1_000, ..Default::default() };
        let mut gradient2 = Gradient2::new(config.clone());
        let (mut limit, mut history) = (20.0f64, Vec::new());
        for window in windows {
            history.push((window.rtt_s, false));
            let ratio = long_term(&history, config.long_windows) / window.rtt_s;
            history.last_mut().unwrap().1 = ratio > 2.0;
            if f64::from(window.in_flight_max) >= limit / 2.0 {
                let wanted = limit * ratio.clamp(0.5, 1.0) + 4.0;
                limit = (0.8 * limit + 0.2 * wanted).clamp(20.0, 200.0);
            }
            let got = gradient2.update(&window);
            assert!((f64::from(got) - limit.floor()).abs() <= 1.0, "{got} is not {limit}");
        }
    }

    #[test]
    fn aimd_is_its_formula(windows in proptest::collection::vec(measured(), 1..150)) {
        let config = AimdConfig { latency_max: std::time::Duration::from_secs(1), ..Default::default() };
        let mut aimd = Aimd::new(config);
        let mut limit = 20u32;
        for window in windows {
            if window.was_overloaded || window.rtt_s > 1.0 {
                limit = (limit * 9 / 10).max(20);
            } else if window.in_flight_max >= limit.div_ceil(2) {
                limit = (limit + 1).min(200);
            }
            assert_eq!(aimd.update(&window), limit);
        }
    }

    #[test]
    fn vegas_is_its_formula(windows in proptest::collection::vec(measured(), 1..150)) {
        let mut vegas = Vegas::new(VegasConfig { probe_multiplier: 1, ..Default::default() });
        // A limit of 20 or more is probed after as many windows; every latency since then is kept.
        let (mut limit, mut latencies, mut since_probe) = (20.0f64, Vec::<f64>::new(), 0);
        for window in windows {
            since_probe += 1;
            let is_probe = f64::from(since_probe) >= limit;
            if is_probe {
                since_probe = 0;
                latencies.clear();
            }
            let least_s = latencies.iter().copied().fold(f64::INFINITY, f64::min);
            latencies.push(window.rtt_s);
            if !is_probe && window.rtt_s >= least_s {
                let step = if limit < 100.0 { 1.0 } else { (limit as u32).ilog10().into() };
                let queue = (limit * (1.0 - least_s / window.rtt_s)).ceil();
                limit += match () {
                    () if window.was_overloaded => -step,
                    () if f64::from(window.in_flight_max) < limit / 2.0 => 0.0,
                    () if queue <= step => 6.0 * step,
                    () if queue < 3.0 * step => step,
                    () if queue > 6.0 * step => -step,
                    () => 0.0,
                };
                limit = limit.clamp(1.0, 1_000.0);
            }
            assert_eq!(f64::from(vegas.update(&window)), limit, "{window:?}, least {least_s}, probe {is_probe} {since_probe}");
        }
    }

    #[test]
    fn every_limit_stays_within_its_bounds(windows in proptest::collection::vec(measured(), 1..300)) {
        let probing = Gradient2Config { probe_windows: 10, ..Default::default() };
        for (algorithm, least, most) in [
            // A probe may go below the least limit, by a quarter.
            (Algorithm::Gradient2(probing), 15, 200),
            (Algorithm::Vegas(VegasConfig::default()), 1, 1_000),
            (Algorithm::Aimd(AimdConfig::default()), 20, 200),
            (Algorithm::Fixed(FixedConfig { limit: 7 }), 7, 7),
        ] {
            let mut limit = Limit::new(&algorithm);
            for window in &windows {
                assert!((least..=most).contains(&limit.update(window)));
            }
        }
    }
}

/// The limit after so many windows of a server that is offered more than it can work on, and whose
/// latency is therefore what its queue makes it.
fn overloaded(limit: &mut Limit, mut now: u32, workers: u32, windows: u32) -> u32 {
    for _ in 0..windows {
        let rtt_s = 0.05 * (f64::from(now) / f64::from(workers)).max(1.0);
        let window = Measured { rtt_s, deviation_s: 0.0, in_flight_max: now, was_overloaded: false, is_binding: true };
        now = limit.update(&window);
    }
    now
}

#[test]
fn the_limit_finds_what_the_server_can_work_on_and_a_few_more() {
    for (algorithm, most_over) in
        [(Algorithm::default(), 12), (Algorithm::Vegas(VegasConfig { limit_max: 200, ..Default::default() }), 16)]
    {
        for workers in [30, 64, 128] {
            let found = overloaded(&mut Limit::new(&algorithm), 20, workers, 300);
            assert!((workers..=workers + most_over).contains(&found), "{algorithm:?}: {found} of {workers}");
        }
    }
}

#[test]
fn an_overload_of_hours_does_not_teach_gradient2_that_its_queue_is_normal() {
    let a_day = 24 * 3_600 * 5;
    let probing = overloaded(&mut Limit::new(&Algorithm::default()), 20, 30, a_day);
    assert!((22..=42).contains(&probing), "{probing}");

    // Without the probe it would.
    let config = Gradient2Config { probe_windows: u32::MAX, ..Default::default() };
    let creeping = overloaded(&mut Limit::new(&Algorithm::Gradient2(config)), 20, 30, a_day);
    assert_eq!(creeping, 200);
}

#[test]
fn a_server_that_has_become_slower_for_good_is_believed() {
    let mut limit = Limit::new(&Algorithm::default());
    let found = overloaded(&mut limit, 20, 64, 1_000);
    let mut now = found;
    for _ in 0..1_000 {
        let rtt_s = 0.5 * (f64::from(now) / 64.0).max(1.0);
        let window = Measured { rtt_s, deviation_s: 0.0, in_flight_max: now, was_overloaded: false, is_binding: true };
        now = limit.update(&window);
    }
    assert!((48..=80).contains(&now), "{found}, then {now}");
}
