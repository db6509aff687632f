//! A limit that stays.

use crate::config_error::Mistakes;

/// Settings of the fixed limit: for a dependency whose capacity is known, such as a pool's size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedConfig {
    /// How many calls at a time, at least 1. Default: 100.
    pub limit: u32,
}

impl Default for FixedConfig {
    fn default() -> Self {
        Self { limit: 100 }
    }
}

impl FixedConfig {
    pub(super) fn check(&self, mistakes: &mut Mistakes) {
        mistakes.check(self.limit > 0, "algorithm.limit", self.limit, "at least 1");
    }
}
