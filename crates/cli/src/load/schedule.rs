//! When calls are due.

use std::time::Duration;

/// A rate that is held after it has grown to that, in a straight line, over the ramp.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    /// Calls a second.
    rate: f64,
    /// Seconds.
    ramp: f64,
}

impl Schedule {
    pub(super) fn new(rate: f64, ramp: Duration) -> Self {
        Self { rate, ramp: ramp.as_secs_f64() }
    }

    /// When the call of this number, from 0 on, is due, from the beginning.
    ///
    /// While the rate grows, t seconds have `rate * t² / (2 * ramp)` calls, half of what the ramp would have at
    /// the full rate.
    pub(super) fn due(&self, number: u64) -> Duration {
        let number = number as f64;
        let of_ramp = self.rate * self.ramp / 2.0;
        let seconds = if number < of_ramp {
            (2.0 * self.ramp * number / self.rate).sqrt()
        } else {
            self.ramp + (number - of_ramp) / self.rate
        };
        Duration::from_secs_f64(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many calls are due before a time, in seconds.
    fn count(schedule: Schedule, until: u64) -> usize {
        (0..).take_while(|number| schedule.due(*number) < Duration::from_secs(until)).count()
    }

    #[test]
    fn calls_are_due_at_the_rate() {
        let schedule = Schedule::new(500.0, Duration::ZERO);
        assert_eq!(schedule.due(0), Duration::ZERO);
        assert_eq!(schedule.due(250), Duration::from_millis(500));
        assert_eq!(count(schedule, 3), 1_500);
    }

    #[test]
    fn a_ramp_has_half_of_the_calls_and_leads_to_the_rate() {
        let schedule = Schedule::new(100.0, Duration::from_secs(10));
        assert_eq!(count(schedule, 10), 500);
        assert_eq!(count(schedule, 11) - count(schedule, 10), 100);
        assert_eq!(count(schedule, 1), 5);
        let dues: Vec<Duration> = (0..600).map(|number| schedule.due(number)).collect();
        assert!(dues.is_sorted(), "none is due before an earlier one");
    }
}
