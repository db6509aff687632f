//! What the buckets promise, held against plain lists of what has happened.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use seawall_limit::{Ask, Decision, LeakyBucket, RateConfig, RateKind, TokenBucket};

/// A call that is to come.
#[derive(Debug, Clone, Copy)]
struct Coming {
    at: Duration,
    /// Whether it has been told to.
    is_returning: bool,
    /// If it is told to come back: how late it will be as a share of the grace, or that it will not.
    lateness: Option<f64>,
}

fn arrivals() -> impl Strategy<Value = Vec<(f64, Option<f64>)>> {
    // Pauses are in tokens: mostly short, so that the bucket is mostly empty, and some long.
    let pause = prop_oneof![6 => 0.0..0.9_f64, 2 => 0.0..3.0_f64, 1 => 5.0..60.0_f64];
    prop::collection::vec((pause, prop::option::weighted(0.7, 0.0..0.9_f64)), 1..400)
}

fn config(rate_per_second: f64, burst: u32, grace_ms: u64) -> RateConfig {
    RateConfig { rate_per_second, burst, grace: Duration::from_millis(grace_ms), ..RateConfig::default() }
}

/// Runs the arrivals and all who are told to come back; gives the times at which calls passed.
/// `take` says for each call whether it passed, or when to come back.
fn run(
    arrivals: &[(f64, Option<f64>)],
    config: &RateConfig,
    mut take: impl FnMut(Duration, &Coming) -> Result<(), Option<Duration>>,
) -> Vec<Duration> {
    let mut coming = Vec::new();
    let mut at = Duration::ZERO;
    for (pause, lateness) in arrivals {
        at += Duration::from_secs_f64(pause / config.rate_per_second);
        coming.push(Coming { at, is_returning: false, lateness: *lateness });
    }
    let mut passed = Vec::new();
    while let Some(first) = (0..coming.len()).min_by_key(|index| coming[*index].at) {
        let call = coming.remove(first);
        match take(call.at, &call) {
            Ok(()) => passed.push(call.at),
            Err(Some(after)) => {
                if let Some(lateness) = call.lateness {
                    let at = call.at + after + config.grace.mul_f64(lateness);
                    coming.push(Coming { at, is_returning: true, ..call });
                }
            }
            Err(None) => {}
        }
    }
    passed
}

/// At most `burst + rate × t` until any time, and in any window `grace` more of the rate.
fn stays_below(passed: &[Duration], config: &RateConfig) -> Result<(), TestCaseError> {
    let allowed = |window: Duration| f64::from(config.burst) + config.rate_per_second * window.as_secs_f64() + 1e-6;
    for (index, end) in passed.iter().enumerate() {
        prop_assert!((index + 1) as f64 <= allowed(*end), "{} calls until {end:?}", index + 1);
        for (earlier, start) in passed[..=index].iter().enumerate() {
            let window = *end - *start;
            // One more, because a window holds both its ends.
            let most = allowed(window + config.grace) + 1.0;
            let count = index - earlier + 1;
            prop_assert!(count as f64 <= most, "{count} calls in {window:?}, {most} are allowed");
        }
    }
    Ok(())
}

proptest! {
    /// Some are told to come back and do, each late in its own way; others never do.
    #[test]
    fn who_comes_back_as_told_passes_and_nobody_passes_above_the_rate(
        rate in prop_oneof![0.2..20.0_f64, 20.0..20_000.0_f64],
        burst in 1..20_u32,
        grace_ms in 0..1_000_u64,
        arrivals in arrivals(),
    ) {
        let config = config(rate, burst, grace_ms);
        let start = Instant::now();
        let bucket = TokenBucket::try_new(&config, start).unwrap();
        let mut broken = None;
        let mut told: Vec<Duration> = Vec::new();
        let passed = run(&arrivals, &config, |at, call| {
            let ask = Ask { is_returning: call.is_returning, remaining: None };
            let refused = match bucket.try_take(start + at, ask) {
                Ok(()) => return Ok(()),
                Err(refused) => refused,
            };
            if call.is_returning {
                broken = Some(at);
            }
            if refused.is_promised {
                told.push(at + refused.retry_after);
            }
            Err(refused.is_promised.then_some(refused.retry_after))
        });
        prop_assert_eq!(broken, None, "a caller that came back as told was refused");
        stays_below(&passed, &config)?;
        // Each is told a time of its own: a token after the one before, but for a tick of the clock.
        for pair in told.windows(2) {
            let apart = pair[1].as_secs_f64() - pair[0].as_secs_f64();
            prop_assert!(apart >= 1.0 / rate - 2.1e-6, "told {:?} and then {:?}", pair[0], pair[1]);
        }
    }

    /// Callers without time are promised nothing, and what is left is the textbook's bucket.
    #[test]
    fn without_promises_it_is_a_plain_token_bucket(
        rate in 0.2..20_000.0_f64,
        burst in 1..20_u32,
        arrivals in arrivals(),
    ) {
        let config = config(rate, burst, 100);
        let start = Instant::now();
        let bucket = TokenBucket::try_new(&config, start).unwrap();
        let (mut tokens, mut before) = (f64::from(burst), Duration::ZERO);
        run(&arrivals, &config, |at, _| {
            tokens = (tokens + (at - before).as_secs_f64() * rate).min(f64::from(burst));
            before = at;
            let is_taken = bucket.try_take(start + at, Ask { remaining: Some(Duration::ZERO), ..Ask::default() }).is_ok();
            // A tick is at most an eighth of a token; where the model is that close, either is right.
            assert!(is_taken == (tokens >= 1.0) || (tokens - 1.0).abs() < 0.13, "{tokens} tokens, taken: {is_taken}");
            tokens -= f64::from(u8::from(is_taken));
            Err(None)
        });
    }

    /// Callers that hammer and never come back as told get the whole rate, but for the first grace. A
    /// burst of one keeps nothing of the time between two calls, so that there it is less.
    #[test]
    fn promises_to_nobody_cost_the_grace_once(
        rate in 1.0..2_000.0_f64,
        burst in 2..50_u32,
        grace_ms in 0..500_u64,
        load in 1.1..20.0_f64,
    ) {
        let config = config(rate, burst, grace_ms);
        let start = Instant::now();
        let bucket = TokenBucket::try_new(&config, start).unwrap();
        let calls = 4_000_u32;
        let mut passed = 0_u32;
        let mut at = Duration::ZERO;
        for call in 0..calls {
            at = Duration::from_secs_f64(f64::from(call) / (rate * load));
            passed += u32::from(bucket.try_take(start + at, Ask::default()).is_ok());
        }
        let most = f64::from(burst) + rate * at.as_secs_f64();
        let least = (most - rate * config.grace.as_secs_f64() - 3.0).min(f64::from(calls));
        prop_assert!(f64::from(passed) >= least, "{passed} passed, at least {least} should have");
    }

    /// Those that wait pass at their turn, are never more than the queue holds, and never wait longer
    /// than their callers do. Some give up on the way.
    #[test]
    fn the_queue_of_a_leaky_bucket_keeps_its_order_and_its_bound(
        rate in 0.5..5_000.0_f64,
        burst in 1..10_u32,
        queue_max in 1..20_u32,
        remaining_tokens in prop::option::of(0.0..30.0_f64),
        arrivals in arrivals(),
    ) {
        let config = RateConfig { kind: RateKind::LeakyBucket { queue_max }, ..config(rate, burst, 100) };
        let start = Instant::now();
        let bucket = LeakyBucket::try_new(&config, start).unwrap();
        let remaining = remaining_tokens.map(|tokens| Duration::from_secs_f64(tokens / rate));
        let mut broken = None;
        let mut turns: Vec<Duration> = Vec::new();
        let passed = run(&arrivals, &config, |at, call| {
            let ask = Ask { is_returning: call.is_returning, remaining };
            let wait = match bucket.try_take(start + at, ask) {
                Decision::Pass => return Ok(()),
                Decision::Wait(wait) => wait,
                Decision::Refused(refused) => {
                    if call.is_returning {
                        broken = Some(format!("refused at {at:?}"));
                    }
                    return Err(refused.is_promised.then_some(refused.retry_after));
                }
            };
            if call.is_returning {
                broken = Some(format!("sent back to the queue at {at:?}"));
            }
            if remaining.is_some_and(|remaining| wait.after > remaining) {
                broken = Some(format!("{:?} is longer than the caller has", wait.after));
            }
            // But for what a turn is told too late, which is two ticks of at most a microsecond.
            turns.retain(|turn| *turn > at + Duration::from_micros(2));
            if call.lateness.is_none() {
                bucket.give_back(wait);
                return Err(None);
            }
            turns.push(at + wait.after);
            if turns.len() > queue_max as usize {
                broken = Some(format!("{} wait", turns.len()));
            }
            Err(Some(wait.after))
        });
        prop_assert_eq!(broken, None);
        stays_below(&passed, &config)?;
    }
}

#[test]
fn the_last_place_is_free_again_and_one_before_it_falls_due_for_anybody() {
    let config = RateConfig { kind: RateKind::LeakyBucket { queue_max: 2 }, ..config(10.0, 1, 50) };
    let now = Instant::now();
    let bucket = LeakyBucket::try_new(&config, now).unwrap();
    let take = |ms: u64, is_returning| {
        bucket.try_take(
            now + Duration::from_millis(ms),
            Ask { is_returning, remaining: Some(Duration::from_millis(250)) },
        )
    };
    let wait = |ms: u64| match take(ms, false) {
        Decision::Wait(wait) => wait,
        other => panic!("{other:?}"),
    };
    assert_eq!(take(0, false), Decision::Pass);
    let (first, second) = (wait(0), wait(0));
    assert_eq!((first.after.as_millis(), second.after.as_millis()), (100, 200));
    assert!(matches!(take(0, false), Decision::Refused(refused) if refused.retry_after.as_millis() == 300));

    bucket.give_back(second);
    let second = wait(1);
    assert_eq!(second.after.as_millis(), 199, "the place that was given back");
    // The first leaves. The second has been told its time, and keeps it.
    bucket.give_back(first);
    let third = wait(149);
    assert_eq!(third.after.as_millis(), 151, "until the grace is over its token is kept, and others wait behind");
    assert_eq!(take(151, false), Decision::Pass, "its token goes to whoever comes");
    assert_eq!(take(201, true), Decision::Pass, "the second, at its turn");
}

#[test]
fn a_promise_that_its_caller_has_no_time_for_is_not_made() {
    let now = Instant::now();
    let bucket = TokenBucket::try_new(&config(1.0, 1, 100), now).unwrap();
    assert!(bucket.try_take(now, Ask::default()).is_ok());
    let short = Ask { remaining: Some(Duration::from_millis(900)), ..Ask::default() };
    for _ in 0..3 {
        let refused = bucket.try_take(now, short).unwrap_err();
        assert_eq!((refused.retry_after.as_millis(), refused.is_promised), (1_000, false));
    }
    let promised: Vec<bool> = (0..11).map(|_| bucket.try_take(now, Ask::default()).unwrap_err().is_promised).collect();
    assert_eq!(promised.iter().filter(|is| **is).count(), 10, "ten seconds of tokens are promised, and no more");
}

#[test]
fn all_mistakes_are_told_at_once() {
    let config = RateConfig {
        rate_per_second: 0.0,
        burst: 0,
        kind: RateKind::LeakyBucket { queue_max: 0 },
        key: vec![seawall_limit::Key::Metadata("X-Tenant".into())],
        keys_max: 0,
        grace: Duration::from_secs(11),
        ..RateConfig::default()
    };
    let error = TokenBucket::try_new(&config, Instant::now()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "rate_per_second = 0.0: must be more than 0 and at most 1000000; burst = 0: must be at least 1; \
         kind.queue_max = 0: must be 1 to 10000; \
         key.metadata = \"X-Tenant\": must be the name of a metadata key, in lower case; \
         keys_max = 0: must be 1 to 1000000; grace = 11s: must be at most 10s"
    );
    for rate_per_second in [f64::NAN, f64::INFINITY, -1.0, 1e7] {
        let config = RateConfig { rate_per_second, ..RateConfig::default() };
        assert_eq!(config.check().unwrap_err().mistakes().len(), 1, "{rate_per_second}");
    }
    let slow = RateConfig { rate_per_second: 1e-6, burst: 3, ..RateConfig::default() };
    assert_eq!(slow.check().unwrap_err().to_string(), "burst = 3: must be what comes within 30 days at this rate");
}
