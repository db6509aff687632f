//! Bad fields, collected so that a client learns of all of them at once.

use std::fmt;

use crate::{Domain, Error};

/// The fields of a request that are wrong, each with what it must be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations(Vec<(String, String)>);

impl Violations {
    /// Notes `description` against `field` (a path such as `lines[0].quantity`) unless `ok`.
    pub fn check(&mut self, ok: bool, field: &str, description: &str) {
        if !ok {
            self.add(field, description);
        }
    }

    /// Notes `description` against `field`.
    pub fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.0.push((field.into(), description.into()));
    }

    /// `INVALID_ARGUMENT` with all of them, if there is one.
    pub fn into_result(self, domain: Domain) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(domain.bad_request("BAD_REQUEST", self)) }
    }

    /// Each field with its description, in the order of noting.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(field, description)| (field.as_str(), description.as_str()))
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (field, description)) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{field}: {description}")?;
        }
        Ok(())
    }
}
