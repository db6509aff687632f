//! What is wrong with a policy's settings.

use std::fmt;

/// Everything that is wrong with the settings of one policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    subject: String,
    mistakes: Vec<String>,
}

impl ConfigError {
    /// The mistakes, each with the field, its value and what is allowed.
    pub fn mistakes(&self) -> impl Iterator<Item = &str> {
        self.mistakes.iter().map(String::as_str)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.mistakes.join("; "))
    }
}

/// Collects mistakes, so that all of them are told at once.
#[derive(Debug, Default)]
pub(crate) struct Mistakes(Vec<String>);

impl Mistakes {
    /// Adds `field = value: must be allowed` unless the value is good.
    pub(crate) fn check(&mut self, is_good: bool, field: &str, value: impl fmt::Debug, allowed: &str) {
        if !is_good {
            self.0.push(format!("{field} = {value:?}: must be {allowed}"));
        }
    }

    /// Adds a mistake that is not one field's.
    pub(crate) fn add(&mut self, mistake: String) {
        self.0.push(mistake);
    }

    /// An error if there was a mistake.
    pub(crate) fn into_result(self, subject: impl FnOnce() -> String) -> Result<(), ConfigError> {
        if self.0.is_empty() { Ok(()) } else { Err(ConfigError { subject: subject(), mistakes: self.0 }) }
    }
}
