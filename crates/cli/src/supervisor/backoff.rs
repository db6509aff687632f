//! How long to wait before a service that died is started again: a plain state machine.
//!
//! Exponential with jitter: the n-th restart in a row waits 0.5 s · 2ⁿ⁻¹, at most 30 s, of which the
//! upper half is random, so that services that died together do not come back together. A service
//! that has been serving for 10 s starts from the beginning.

use std::time::Duration;

const FIRST_DELAY: Duration = Duration::from_millis(500);
const DELAY_MAX: Duration = Duration::from_secs(30);
/// Serving this long, a service counts as well again.
const WELL_AFTER: Duration = Duration::from_secs(10);
/// After so many restarts in a row in vain a service is shown as failed. It is still tried again.
const RESTARTS_MAX: u32 = 5;

/// Counts restarts in a row.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    restarts: u32,
}

/// What is to be done about a service that died.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Restart {
    /// How long to wait.
    pub(crate) delay: Duration,
    /// Whether it has been tried too often.
    pub(crate) failed: bool,
}

impl Backoff {
    /// The service died after serving for so long (zero, if it never came to it). `random` is from 0 to 1.
    pub(crate) fn died(&mut self, served_for: Duration, random: f64) -> Restart {
        if served_for >= WELL_AFTER {
            self.restarts = 0;
        }
        let doublings = self.restarts.min(16);
        let delay = (FIRST_DELAY * 2_u32.pow(doublings)).min(DELAY_MAX);
        self.restarts = self.restarts.saturating_add(1);
        Restart { delay: delay / 2 + (delay / 2).mul_f64(random.clamp(0.0, 1.0)), failed: self.restarts > RESTARTS_MAX }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(backoff: &mut Backoff, count: usize, random: f64) -> Vec<u128> {
        (0..count).map(|_| backoff.died(Duration::ZERO, random).delay.as_millis()).collect()
    }

    #[test]
    fn delays_double_up_to_the_ceiling() {
        let expected = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000];
        assert_eq!(delays(&mut Backoff::default(), 8, 1.0), expected);
    }

    #[test]
    fn jitter_takes_at_most_half() {
        assert_eq!(delays(&mut Backoff::default(), 3, 0.0), [250, 500, 1_000]);
    }

    #[test]
    fn the_ceiling_holds_for_ever() {
        let mut backoff = Backoff { restarts: u32::MAX };
        assert_eq!(backoff.died(Duration::ZERO, 1.0), Restart { delay: DELAY_MAX, failed: true });
    }

    #[test]
    fn serving_for_a_while_starts_again_from_the_beginning() {
        let mut backoff = Backoff::default();
        delays(&mut backoff, 6, 1.0);
        assert_eq!(backoff.died(WELL_AFTER - Duration::from_millis(1), 1.0).delay, DELAY_MAX);
        assert_eq!(backoff.died(WELL_AFTER, 1.0), Restart { delay: FIRST_DELAY, failed: false });
    }

    #[test]
    fn too_many_restarts_in_a_row_count_as_failed() {
        let mut backoff = Backoff::default();
        let failed: Vec<bool> = (0..7).map(|_| backoff.died(Duration::ZERO, 0.5).failed).collect();
        assert_eq!(failed, [false, false, false, false, false, true, true]);
    }
}
