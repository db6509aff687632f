//! Bad fields, collected so that a client learns of all of them at once.

use std::fmt;

use crate::{Domain, Error};

/// What the text of all of them may take, in bytes. They travel in a header, in base64, and clients
/// accept 8 or 16 KiB of headers; it is room for 100 bad ids.
const BYTES_MAX: usize = 4 * 1024;

/// How many the message names; the details name all.
const MESSAGE_MAX: usize = 5;

/// The fields of a request that are wrong, each with what it must be.
///
/// The first 4 KiB of them are kept, and the others counted: a client that can make thousands of
/// mistakes in one request learns of the others when it has mended these.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations {
    kept: Vec<(String, String)>,
    bytes: usize,
    left_out: usize,
}

impl Violations {
    /// Notes `description` against `field` (a path such as `lines[0].quantity`) unless `ok`.
    pub fn check(&mut self, ok: bool, field: &str, description: &str) {
        if !ok {
            self.add(field, description);
        }
    }

    /// Notes `description` against `field`. From the first that does not fit, the others are only counted.
    pub fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        let (field, description) = (field.into(), description.into());
        self.bytes += field.len() + description.len();
        if self.bytes <= BYTES_MAX {
            self.kept.push((field, description));
        } else {
            self.left_out += 1;
        }
    }

    /// `INVALID_ARGUMENT` with all of them, if there is one.
    pub fn into_result(self, domain: Domain) -> Result<(), Error> {
        if self.kept.is_empty() && self.left_out == 0 { Ok(()) } else { Err(domain.bad_request("BAD_REQUEST", self)) }
    }

    /// Each field with its description, in the order of noting.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.kept.iter().map(|(field, description)| (field.as_str(), description.as_str()))
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (field, description)) in self.kept.iter().take(MESSAGE_MAX).enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{field}: {description}")?;
        }
        match self.kept.len().saturating_sub(MESSAGE_MAX) + self.left_out {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}
