//! The average against one in plain floating point, with the whole history at hand.

use proptest::prelude::*;

use super::*;

const DECAY: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy)]
enum Event {
    Success(u64),
    Failure(u64),
}

fn events() -> impl Strategy<Value = Vec<(u64, Event)>> {
    let took_us = 1_u64..5_000_000;
    let event = prop_oneof![
        4 => took_us.clone().prop_map(Event::Success),
        1 => took_us.prop_map(Event::Failure)
    ];
    let after_ms = prop_oneof![8 => 0_u64..3_000, 1 => 49_000_u64..52_000];
    prop::collection::vec((after_ms, event), 1..60)
}

/// From the definition: the value in microseconds and when it was made, in milliseconds.
fn model(history: &[(u64, Event)]) -> Option<(f64, u64)> {
    let (&(at_ms, event), before) = history.split_last()?;
    let known = model(before).filter(|(_, made_ms)| at_ms - made_ms <= 50_000);
    let value = match (event, known) {
        (Event::Success(took), None) => took as f64,
        (Event::Failure(took), None) => took.max(1_000_000) as f64,
        (Event::Success(took), Some((value, made_ms))) => {
            let weight = (-((at_ms - made_ms) as f64) / 10_000.0).exp();
            if took as f64 >= value { took as f64 } else { value * weight + took as f64 * (1.0 - weight) }
        }
        (Event::Failure(took), Some((value, _))) => value.max(took as f64),
    };
    Some((value, at_ms))
}

proptest! {
    #[test]
    fn it_is_the_average_of_the_definition(events in events(), wait_ms in 0_u64..60_000) {
        let origin = Instant::now();
        let ewma = Ewma::new(DECAY, origin);
        let mut history = Vec::new();
        let mut at_ms = 0;
        for (after_ms, event) in events {
            at_ms += after_ms;
            let now = origin + Duration::from_millis(at_ms);
            match event {
                Event::Success(took) => ewma.observe(now, Duration::from_micros(took)),
                Event::Failure(took) => ewma.observe_failure(now, Duration::from_micros(took)),
            }
            history.push((at_ms, event));
        }
        let (value, _) = model(&history).unwrap();
        let got = ewma.estimate_us(origin + Duration::from_millis(at_ms + wait_ms));
        if wait_ms > 50_000 {
            prop_assert_eq!(got, None);
        } else {
            let expected = value * (-(wait_ms as f64) / 10_000.0).exp();
            let got = got.unwrap();
            prop_assert!((got - expected).abs() <= expected * 1e-4 + 1e-3, "{} is not {}", got, expected);
        }
    }
}

#[test]
fn a_thousand_fast_calls_in_a_second_take_a_peak_down_by_a_tenth() {
    let origin = Instant::now();
    let ewma = Ewma::new(DECAY, origin);
    ewma.observe(origin, Duration::from_secs(1));
    for ms in 1..=1_000 {
        for _ in 0..3 {
            ewma.observe(origin + Duration::from_millis(ms), Duration::from_millis(1));
        }
    }
    let got = ewma.estimate_us(origin + Duration::from_secs(1)).unwrap();
    assert!((got - 905_000.0).abs() < 2_000.0, "{got}");
}

#[test]
fn an_endpoint_that_only_fails_does_not_look_fast() {
    let origin = Instant::now();
    let ewma = Ewma::new(DECAY, origin);
    assert_eq!(ewma.estimate_us(origin), None);
    ewma.observe_failure(origin, Duration::from_micros(50));
    assert_eq!(ewma.estimate_us(origin), Some(1e6));
    ewma.reset();
    assert_eq!(ewma.estimate_us(origin), None);
}

#[test]
fn a_time_from_before_the_last_call_is_taken_for_the_last() {
    let origin = Instant::now();
    let ewma = Ewma::new(DECAY, origin);
    ewma.observe(origin + Duration::from_secs(5), Duration::from_secs(1));
    ewma.observe(origin + Duration::from_secs(1), Duration::from_millis(1));
    assert_eq!(ewma.estimate_us(origin), Some(1e6));
}
