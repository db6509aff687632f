//! Subjects measured in turn, so that what disturbs one disturbs all of them.

use std::collections::BTreeMap;
use std::fmt::Display;

use anyhow::{Context as _, Result};

use crate::statistics::Spread;

/// What was measured: a value of each subject in each round.
#[derive(Debug, Clone)]
pub struct Rounds<K> {
    values: BTreeMap<K, Vec<f64>>,
}

impl<K: Ord + Clone + Display> Rounds<K> {
    /// Measures every subject once a round. Each round begins with another one, so that none has always the same
    /// before it.
    ///
    /// # Errors
    /// With the first that cannot be measured.
    pub fn take(subjects: &[K], rounds: usize, mut measure: impl FnMut(&K) -> Result<f64>) -> Result<Self> {
        let mut values: BTreeMap<K, Vec<f64>> = BTreeMap::new();
        for round in 0..rounds {
            eprintln!("round {} of {rounds}", round + 1);
            for turn in 0..subjects.len() {
                let subject = &subjects[(round + turn) % subjects.len()];
                let value = measure(subject).with_context(|| subject.to_string())?;
                values.entry(subject.clone()).or_default().push(value);
            }
        }
        Ok(Self { values })
    }

    /// The values of a subject.
    pub fn of(&self, subject: &K) -> Option<Spread> {
        self.values.get(subject).map(|values| Spread::of(values.iter().copied()))
    }

    /// How many times those of `other` the values of `subject` are, each in the same round.
    pub fn ratio(&self, subject: &K, other: &K) -> Option<Spread> {
        let (values, others) = (self.values.get(subject)?, self.values.get(other)?);
        Some(Spread::of(values.iter().zip(others).map(|(value, other)| value / other)))
    }

    /// All values as JSON, by the subjects' names.
    pub fn json(&self) -> serde_json::Value {
        self.values.iter().map(|(subject, values)| (subject.to_string(), values.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_the_same_round() {
        let mut made = 0.0;
        let rounds = Rounds::take(&["a", "b"], 4, |subject| {
            made += 1.0;
            // Every round is slower than the one before.
            let round = f64::ceil(made / 2.0);
            Ok(if *subject == "a" { 4.0 / round } else { 1.0 / round })
        });
        let rounds = rounds.expect("four rounds");
        assert_eq!(rounds.ratio(&"a", &"b"), Some(Spread { low: 4.0, median: 4.0, high: 4.0 }));
        assert_eq!(rounds.of(&"b"), Some(Spread { low: 0.25, median: f64::midpoint(1.0 / 3.0, 0.5), high: 1.0 }));
        assert_eq!(rounds.of(&"c"), None);
    }
}
