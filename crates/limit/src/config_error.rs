//! What is wrong with a configuration: every mistake of it, at once.

use std::fmt;

/// A field with a value that it cannot have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The name of the field, such as `burst`, or `gradient2.queue` for one inside of another.
    pub field: String,
    /// The value that it has.
    pub value: String,
    /// What it must be instead, such as `more than 0`.
    pub allowed: &'static str,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}: must be {}", self.field, self.value, self.allowed)
    }
}

/// All mistakes of one configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.listed())]
pub struct ConfigError {
    mistakes: Vec<Mistake>,
}

impl ConfigError {
    /// The mistakes, in the order of the fields. There is at least one.
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }

    fn listed(&self) -> String {
        let lines: Vec<String> = self.mistakes.iter().map(ToString::to_string).collect();
        lines.join("; ")
    }
}

/// Collects the mistakes of one configuration.
#[derive(Debug, Default)]
pub(crate) struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// Notes a mistake unless `is_allowed`.
    pub(crate) fn check(&mut self, is_allowed: bool, field: &str, value: impl fmt::Debug, allowed: &'static str) {
        if !is_allowed {
            self.0.push(Mistake { field: field.to_owned(), value: format!("{value:?}"), allowed });
        }
    }

    pub(crate) fn into_result(self) -> Result<(), ConfigError> {
        if self.0.is_empty() { Ok(()) } else { Err(self.into_error()) }
    }

    /// There must be one.
    pub(crate) fn into_error(self) -> ConfigError {
        ConfigError { mistakes: self.0 }
    }
}
