//! Medians, and how far they can be trusted.

/// A median with the interval that has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The lower end of the interval.
    pub low: f64,
    /// The median of what was measured.
    pub median: f64,
    /// The upper end of the interval.
    pub high: f64,
}

/// How sure the interval is to have the median, at least.
const CONFIDENCE: f64 = 0.85;

impl Spread {
    /// The median of `values`, and an interval that has the true one in seven of eight cases, or more, whatever
    /// they are distributed like: from the k-th smallest to the k-th largest, by the binomial distribution (W. J. Conover,
    /// Practical Nonparametric Statistics, section 3.2). Of seven values that is from the second to the sixth. Three or
    /// less are too few to say anything: then it is everything.
    ///
    /// # Panics
    /// If there is no value, or one that is no number.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        assert!(!values.is_empty(), "the median of something");
        values.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
        let (count, last) = (values.len(), values.len() - 1);
        let skipped = (0..count / 2).rev().find(|skipped| coverage(count, *skipped) >= CONFIDENCE);
        let median = f64::midpoint(values[last / 2], values[count / 2]);
        let [low, high] = match skipped {
            Some(skipped) => [values[skipped], values[last - skipped]],
            None => [f64::NEG_INFINITY, f64::INFINITY],
        };
        Self { low, median, high }
    }

    /// The same for whoever knows that two measurements of one thing differ by as much, such as 0.02 for 2 %.
    #[must_use]
    pub fn blurred(self, noise: f64) -> Self {
        Self { low: self.low * (1.0 - noise), high: self.high * (1.0 + noise), ..self }
    }
}

/// The probability that the median lies between what remains when `skipped` values are left out at each end.
fn coverage(count: usize, skipped: usize) -> f64 {
    let mut outside = 0.0;
    let mut term = 0.5_f64.powi(count as i32);
    for k in 0..=skipped {
        outside += term;
        term *= (count - k) as f64 / (k + 1) as f64;
    }
    1.0 - 2.0 * outside
}

/// The value that `share` of all are not above, by the nearest rank. `sorted` must be.
///
/// # Panics
/// If there is none.
pub fn percentile(sorted: &[u64], share: f64) -> u64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_seven_values_the_interval_is_from_the_second_to_the_sixth() {
        let spread = Spread::of([7.0, 1.0, 3.0, 2.0, 6.0, 5.0, 4.0]);
        assert_eq!(spread, Spread { low: 2.0, median: 4.0, high: 6.0 });
    }

    #[test]
    fn noise_makes_an_interval_wider() {
        let spread = Spread { low: 1.0, median: 1.5, high: 2.0 };
        assert_eq!(spread.blurred(0.25), Spread { low: 0.75, median: 1.5, high: 2.5 });
    }

    #[test]
    fn few_values_say_nothing() {
        let spread = Spread::of([3.0, 1.0]);
        assert_eq!(spread, Spread { low: f64::NEG_INFINITY, median: 2.0, high: f64::INFINITY });
        assert_eq!(Spread::of([3.0, 1.0, 2.0, 4.0]), Spread { low: 1.0, median: 2.5, high: 4.0 });
    }

    #[test]
    fn what_is_left_out_of_many_is_as_in_the_tables() {
        // Conover's table: 20 values, from the 6th to the 15th at 95 %.
        assert!((coverage(20, 5) - 0.9586).abs() < 1e-4);
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values: Vec<u64> = (1..=1000).collect();
        assert_eq!((percentile(&values, 0.5), percentile(&values, 0.999), percentile(&values, 1.0)), (500, 999, 1000));
        assert_eq!(percentile(&[4], 0.999), 4);
    }
}
