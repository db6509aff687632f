//! Settings that are wrong are refused with all that is wrong with them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use seawall_retry::{
    Allowance, AllowanceConfig, BudgetConfig, HedgeConfig, HedgeDelay, HedgePolicy, Idempotency, RetryConfig,
    RetryPolicy, ThrottleConfig,
};
use tonic::Code;

const METHOD: &str = "/shop.v1.Orders/Place";

fn allowance() -> Arc<Allowance> {
    Arc::new(Allowance::try_new("shop", &AllowanceConfig::default(), Instant::now()).unwrap())
}

#[test]
fn the_defaults_are_good() {
    RetryPolicy::try_new(METHOD, &RetryConfig::default(), Idempotency::Keyed, allowance()).unwrap();
    let hedge = HedgeConfig::default();
    HedgePolicy::try_new(METHOD, &hedge, Idempotency::Idempotent, allowance(), Instant::now()).unwrap();
}

#[test]
fn a_method_that_is_not_idempotent_has_no_policy_and_the_error_says_what_to_do() {
    let retry = RetryPolicy::try_new(METHOD, &RetryConfig::default(), Idempotency::None, allowance()).unwrap_err();
    let hedge = HedgeConfig::default();
    let hedge = HedgePolicy::try_new(METHOD, &hedge, Idempotency::None, allowance(), Instant::now()).unwrap_err();
    for (error, what) in [(retry, "retried"), (hedge, "hedged")] {
        let text = error.to_string();
        for part in [METHOD, what, "not declared idempotent", "idempotency_level = IDEMPOTENT", "idempotency-key"] {
            assert!(text.contains(part), "{text:?} does not say {part:?}");
        }
    }
}

#[test]
fn every_mistake_of_a_retry_is_told_at_once() {
    let config = RetryConfig {
        attempts_max: 6,
        initial_backoff: Duration::ZERO,
        max_backoff: Duration::from_secs(7200),
        backoff_multiplier: f64::NAN,
        codes: vec![Code::Ok],
        replay_bytes_max: 0,
    };
    let error = RetryPolicy::try_new(METHOD, &config, Idempotency::Idempotent, allowance()).unwrap_err();
    let mistakes: Vec<&str> = error.mistakes().collect();
    let expected = [
        "attempts_max = 6: must be 2 to 5",
        "codes = [Ok]: must be at least one, without Ok",
        "replay_bytes_max = 0: must be 1 to 16777216 (16 MiB)",
        "initial_backoff = 0ns: must be more than 0",
        "max_backoff = 7200s: must be initial_backoff to 1 h",
        "backoff_multiplier = NaN: must be more than 0",
    ];
    assert_eq!(mistakes, expected);
    assert!(error.to_string().starts_with("retries of /shop.v1.Orders/Place: attempts_max = 6"));
}

#[test]
fn every_mistake_of_a_hedge_is_told_at_once() {
    let (initial, min, max) = (Duration::from_secs(3), Duration::ZERO, Duration::from_secs(2));
    let delay = HedgeDelay::Observed { percentile: 95.0, initial, min, max };
    let config = HedgeConfig { attempts_max: 1, delay, non_fatal_codes: Vec::new(), ..HedgeConfig::default() };
    let error =
        HedgePolicy::try_new(METHOD, &config, Idempotency::Idempotent, allowance(), Instant::now()).unwrap_err();
    let fields: Vec<&str> = error.mistakes().map(|mistake| mistake.split(' ').next().unwrap()).collect();
    let expected = ["attempts_max", "codes", "hedge_delay.percentile", "hedge_delay.min", "hedge_delay.initial"];
    assert_eq!(fields, expected);
}

#[test]
fn every_mistake_of_an_allowance_is_told_at_once() {
    let config = AllowanceConfig {
        throttle: ThrottleConfig { tokens_max: 0, token_ratio: 1.5 },
        budget: BudgetConfig { ttl: Duration::ZERO, ratio: -0.1, min_per_second: 5000 },
        replay_bytes_max: 0,
    };
    let error = Allowance::try_new("shop", &config, Instant::now()).unwrap_err();
    let expected = [
        "tokens_max = 0: must be 1 to 1000",
        "token_ratio = 1.5: must be 0.001 to 1",
        "budget_ttl = 0ns: must be 1 s to 60 s",
        "budget_ratio = -0.1: must be 0 to 1",
        "budget_min_per_second = 5000: must be 0 to 1000",
        "replay_bytes_max = 0: must be 1 to 1073741824 (1 GiB)",
    ];
    assert_eq!(error.mistakes().collect::<Vec<_>>(), expected);

    let budget = BudgetConfig { ratio: 0.0, min_per_second: 0, ..BudgetConfig::default() };
    assert!(
        Allowance::try_new("shop", &AllowanceConfig { budget, ..AllowanceConfig::default() }, Instant::now()).is_err()
    );
}
