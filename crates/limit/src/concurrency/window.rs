//! Calls gathered until there are enough of them to tell something (Netflix's `WindowedLimit`): one
//! slow call says little, and an average that is smoothed by the call would forget in a second what
//! it is meant to keep for minutes.

use std::time::{Duration, Instant};

use super::algorithm::Measured;

/// A window lasts twice the least latency in the last one, within these bounds.
const LENGTH_MIN: Duration = Duration::from_millis(100);
const LENGTH_MAX: Duration = Duration::from_secs(1);

/// Fewer calls tell nothing: the window goes on.
const CALLS_MIN: u32 = 10;

/// A latency that the clock cannot tell from none is this.
const RTT_MIN_S: f64 = 1e-6;

#[derive(Debug)]
pub(super) struct Window {
    length: Duration,
    opened_at: Option<Instant>,
    calls: u32,
    rtts_s: f64,
    squares_s2: f64,
    rtt_least_s: f64,
    in_flight_max: u32,
    was_overloaded: bool,
}

impl Default for Window {
    fn default() -> Self {
        Self::empty(LENGTH_MIN, None)
    }
}

impl Window {
    fn empty(length: Duration, opened_at: Option<Instant>) -> Self {
        Self {
            length,
            opened_at,
            calls: 0,
            rtts_s: 0.0,
            squares_s2: 0.0,
            rtt_least_s: f64::INFINITY,
            in_flight_max: 0,
            was_overloaded: false,
        }
    }

    /// Adds a call that ended `now`. The last one of a window closes it. `is_binding` of the answer is
    /// for the caller to say.
    pub(super) fn add(
        &mut self,
        now: Instant,
        rtt: Duration,
        in_flight: u32,
        was_overloaded: bool,
    ) -> Option<Measured> {
        let opened_at = *self.opened_at.get_or_insert(now);
        let rtt_s = rtt.as_secs_f64().max(RTT_MIN_S);
        self.calls += 1;
        self.rtts_s += rtt_s;
        self.squares_s2 += rtt_s * rtt_s;
        self.rtt_least_s = self.rtt_least_s.min(rtt_s);
        self.in_flight_max = self.in_flight_max.max(in_flight);
        self.was_overloaded |= was_overloaded;
        if self.calls < CALLS_MIN || now.saturating_duration_since(opened_at) < self.length {
            return None;
        }
        let mean_s = self.rtts_s / f64::from(self.calls);
        let measured = Measured {
            rtt_s: mean_s,
            deviation_s: (self.squares_s2 / f64::from(self.calls) - mean_s * mean_s).max(0.0).sqrt(),
            in_flight_max: self.in_flight_max,
            was_overloaded: self.was_overloaded,
            is_binding: false,
        };
        let length = Duration::try_from_secs_f64(2.0 * self.rtt_least_s).unwrap_or(LENGTH_MAX);
        *self = Self::empty(length.clamp(LENGTH_MIN, LENGTH_MAX), Some(now));
        Some(measured)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, ProptestConfig, prop_oneof, proptest};

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_measures_what_a_list_of_its_calls_does(
            calls in proptest::collection::vec((0u64..60, 0u64..2_000_000, 1u32..50, prop_oneof![8 => Just(false), 1 => Just(true)]), 1..300)
        ) {
            let mut window = Window::default();
            let mut now = Instant::now();
            let (mut list, mut opened_at, mut length) = (Vec::new(), None, Duration::from_millis(100));
            for (after_ms, rtt_us, in_flight, was_overloaded) in calls {
                now += Duration::from_millis(after_ms);
                let rtt = Duration::from_micros(rtt_us);
                list.push((rtt.as_secs_f64().max(1e-6), in_flight, was_overloaded));
                let opened = *opened_at.get_or_insert(now);
                let measured = window.add(now, rtt, in_flight, was_overloaded);
                let is_closed = list.len() >= 10 && now - opened >= length;
                assert_eq!(measured.is_some(), is_closed);
                let Some(measured) = measured else { continue };
                let count = list.len() as f64;
                let mean_s = list.iter().map(|call| call.0).sum::<f64>() / count;
                let variance = list.iter().map(|call| (call.0 - mean_s).powi(2)).sum::<f64>() / count;
                assert!((measured.rtt_s - mean_s).abs() < 1e-9);
                assert!((measured.deviation_s.powi(2) - variance).abs() < 1e-9);
                assert_eq!(measured.in_flight_max, list.iter().map(|call| call.1).max().unwrap());
                assert_eq!(measured.was_overloaded, list.iter().any(|call| call.2));
                let least_s = list.iter().map(|call| call.0).fold(f64::INFINITY, f64::min);
                length = Duration::from_secs_f64((2.0 * least_s).clamp(0.1, 1.0));
                opened_at = Some(now);
                list.clear();
            }
        }
    }
}
