//! The limiter by its public API.

use std::task::{Context, Poll, Waker};

use super::*;

fn limiter(limit: u32) -> Arc<ConcurrencyLimiter> {
    let algorithm = Algorithm::Fixed(FixedConfig { limit });
    Arc::new(ConcurrencyLimiter::try_new(ConcurrencyConfig { algorithm, ..Default::default() }).unwrap())
}

fn acquired(limiter: &Arc<ConcurrencyLimiter>, now: Instant, criticality: Criticality) -> Vec<Permit> {
    std::iter::from_fn(|| limiter.try_acquire(now, criticality).ok()).collect()
}

fn waiter(verdict: Verdict) -> Waiter {
    match verdict {
        Verdict::Waiting(waiter) => waiter,
        verdict => panic!("{verdict:?}"),
    }
}

#[test]
fn every_mistake_is_named_with_its_value_and_what_is_allowed() {
    let gradient2 = Gradient2Config { limit_min: 0, smoothing: 1.5, ..Default::default() };
    let config = ConcurrencyConfig {
        algorithm: Algorithm::Gradient2(gradient2),
        default_share: f64::NAN,
        sheddable_share: 0.95,
        critical_queue: -1.0,
        wait_max: Duration::MAX,
        streams_max: 0,
        ..Default::default()
    };
    let error = ConcurrencyLimiter::try_new(config).unwrap_err().to_string();
    let expected = [
        "algorithm.limit_min = 0: must be at least 1",
        "algorithm.smoothing = 1.5: must be more than 0 and at most 1",
        "default_share = NaN: must be more than 0 and at most 1",
        "sheddable_share = 0.95: must be more than 0 and at most default_share",
        "critical_queue = -1.0: must be 0 to 100",
        "wait_max = 18446744073709551615.999999999s: must be more than 0 and at most 1h",
        "streams_max = 0: must be at least 1",
    ];
    assert_eq!(error, expected.join("; "));
    for (algorithm, expected) in [
        (Algorithm::Fixed(FixedConfig { limit: 0 }), "algorithm.limit = 0: must be at least 1"),
        (
            Algorithm::Aimd(AimdConfig { backoff: 1.0, ..Default::default() }),
            "algorithm.backoff = 1.0: must be 0.5 up to but not 1",
        ),
        (
            Algorithm::Vegas(VegasConfig { limit_initial: 2_000, ..Default::default() }),
            "algorithm.limit_initial = 2000: must be limit_min to limit_max",
        ),
    ] {
        let config = ConcurrencyConfig { algorithm, ..Default::default() };
        assert_eq!(ConcurrencyLimiter::try_new(config).unwrap_err().to_string(), expected);
    }
}

#[test]
fn the_less_critical_are_refused_first() {
    let (limiter, now) = (limiter(20), Instant::now());
    let sheddable = acquired(&limiter, now, Criticality::Sheddable);
    let default = acquired(&limiter, now, Criticality::Default);
    let critical = acquired(&limiter, now, Criticality::Critical);
    assert_eq!((sheddable.len(), default.len(), critical.len()), (15, 3, 2));
    let shed = limiter.try_acquire(now, Criticality::Sheddable).unwrap_err();
    assert_eq!((shed.limit, shed.in_flight, shed.criticality), (15, 20, Criticality::Sheddable));
}

#[test]
fn a_refused_call_is_told_the_time_in_which_those_before_it_are_served() {
    let (limiter, now) = (limiter(10), Instant::now());
    for permit in acquired(&limiter, now, Criticality::Critical) {
        permit.served(now + Duration::from_millis(300));
    }
    let later = now + Duration::from_millis(400);
    let permit = limiter.try_acquire(later, Criticality::Default).unwrap();
    permit.served(later + Duration::from_millis(300));
    let full = acquired(&limiter, later, Criticality::Critical);
    let retry_after = limiter.try_acquire(later, Criticality::Critical).unwrap_err().retry_after;
    assert_eq!((full.len(), retry_after.as_millis()), (10, 300));
}

#[test]
fn a_place_is_handed_to_who_waits_and_passed_on_by_who_has_gone() {
    let (limiter, now) = (limiter(1), Instant::now());
    let cx = Context::from_waker(Waker::noop());
    let permit = limiter.try_acquire(now, Criticality::Default).unwrap();
    let mut default = waiter(limiter.acquire(now, Criticality::Default, None));
    let critical = waiter(limiter.acquire(now, Criticality::Critical, None));
    drop(permit);
    // It is the critical call's now, taken or not.
    assert!(default.poll_permit(&cx, now).is_pending());
    assert!(limiter.try_acquire(now, Criticality::Critical).is_err());
    drop(critical);
    let Poll::Ready(permit) = default.poll_permit(&cx, now) else { panic!("it waits for ever") };
    assert_eq!(limiter.snapshot(now).in_flight, 1);
    drop(permit);
    assert_eq!((limiter.snapshot(now).in_flight, limiter.snapshot(now).waiting), (0, 0));
}

#[test]
fn who_gives_up_as_its_turn_comes_has_the_permit() {
    let (limiter, now) = (limiter(1), Instant::now());
    let permit = limiter.try_acquire(now, Criticality::Default).unwrap();
    let (first, second) = (
        waiter(limiter.acquire(now, Criticality::Critical, None)),
        waiter(limiter.acquire(now, Criticality::Critical, None)),
    );
    drop(permit);
    let permit = first.give_up(now).unwrap();
    assert!(second.give_up(now).is_err());
    drop(permit);
    assert_eq!((limiter.snapshot(now).in_flight, limiter.snapshot(now).waiting), (0, 0));
}

#[test]
fn who_waits_does_so_no_longer_than_makes_sense() {
    let (limiter, now) = (limiter(10), Instant::now());
    let full = acquired(&limiter, now, Criticality::Critical);
    let after = |ms| now + Duration::from_millis(ms);
    // A call is taken to last a tenth of a second before any has ended.
    let give_up_at = |criticality, deadline| match limiter.acquire(now, criticality, deadline) {
        Verdict::Waiting(waiter) => Some(waiter.give_up_at()),
        Verdict::Refused(_) => None,
        Verdict::Admitted(permit) => panic!("{permit:?}"),
    };
    assert_eq!(give_up_at(Criticality::Critical, None), Some(after(1_000)));
    assert_eq!(give_up_at(Criticality::Critical, Some(after(400))), Some(after(300)));
    assert_eq!(give_up_at(Criticality::Critical, Some(after(105))), None, "ten milliseconds are to be expected");
    assert_eq!(give_up_at(Criticality::Default, None), Some(after(200)));
    assert_eq!(give_up_at(Criticality::Default, Some(after(150))), Some(after(50)));
    drop(full);
    assert_eq!(limiter.snapshot(now).waiting, 0);
}
