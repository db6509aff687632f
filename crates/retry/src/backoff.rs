//! The delay before a retry: exponential, with jitter (gRFC A6, as revised in 2024).

use std::time::Duration;

use crate::error::Mistakes;

/// How far the delay may stray to either side.
const JITTER: f64 = 0.2;

/// No delay is longer, so that none is out of the clock's reach.
const BACKOFF_MAX: Duration = Duration::from_secs(3600);

/// Delays that grow: `min(initial × multiplier^(n − 1), max)`, ± 20 %.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    multiplier: f64,
}

impl Backoff {
    pub(crate) fn checked(initial: Duration, max: Duration, multiplier: f64, mistakes: &mut Mistakes) -> Self {
        mistakes.check(!initial.is_zero(), "initial_backoff", initial, "more than 0");
        mistakes.check(max >= initial && max <= BACKOFF_MAX, "max_backoff", max, "initial_backoff to 1 h");
        let is_good = multiplier.is_finite() && multiplier > 0.0;
        mistakes.check(is_good, "backoff_multiplier", multiplier, "more than 0");
        Self { initial, max, multiplier }
    }

    /// The delay before the `n`-th retry in a row, from 1; `random` is in [0, 1). It may be up to a
    /// fifth longer than the maximum, or shorter than the first delay.
    pub fn delay(&self, n: u32, random: f64) -> Duration {
        let exponent = i32::try_from(n.saturating_sub(1)).unwrap_or(i32::MAX);
        let base = self.initial.as_secs_f64() * self.multiplier.powi(exponent);
        let jitter = 1.0 - JITTER + 2.0 * JITTER * random;
        Duration::from_secs_f64(base.min(self.max.as_secs_f64()) * jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff(multiplier: f64) -> Backoff {
        let mut mistakes = Mistakes::default();
        let (initial, max) = (Duration::from_millis(100), Duration::from_secs(1));
        let backoff = Backoff::checked(initial, max, multiplier, &mut mistakes);
        mistakes.into_result(String::new).unwrap();
        backoff
    }

    #[test]
    fn delays_grow_to_the_maximum_and_stray_by_a_fifth() {
        let middle: Vec<u128> = (1..7).map(|n| backoff(2.0).delay(n, 0.5).as_millis()).collect();
        assert_eq!(middle, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(backoff(2.0).delay(1, 0.0), Duration::from_millis(80));
        assert!(backoff(2.0).delay(9, 0.999_999) > Duration::from_millis(1199));
        assert!(backoff(2.0).delay(u32::MAX, 0.999_999) <= Duration::from_millis(1200));
    }

    #[test]
    fn a_multiplier_under_one_shrinks_them() {
        assert_eq!(backoff(0.5).delay(3, 0.5), Duration::from_millis(25));
    }
}
