//! What can be wrong with policies, in words that say how to put it right.

use std::fmt;

use crate::contract::Location;
use crate::keys;
use crate::settings::{Source, Value};

/// How many edits away a name may be to be suggested: a third of it.
const EDITS_PART: usize = 3;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    location: Option<Location>,
    problem: String,
}

impl Mistake {
    /// Where it stands; `None` where it follows from defaults.
    pub fn location(&self) -> Option<&Location> {
        self.location.as_ref()
    }

    /// What is wrong, and what is allowed.
    pub fn problem(&self) -> &str {
        &self.problem
    }

    /// At a place, or about a file as a whole, which is line 0.
    pub(crate) fn at(location: Location, problem: impl fmt::Display) -> Self {
        Self { location: Some(location), problem: problem.to_string() }
    }

    pub(crate) fn value(source: &Source, key: &str, value: &Value, must_be: &str) -> Self {
        Self::setting(source, &format!("{key} = {value}: must be {must_be}"))
    }

    /// `problem` begins with the key.
    pub(crate) fn setting(source: &Source, problem: &str) -> Self {
        Self::at(source.location.clone(), format_args!("[{}] {problem}", source.subject))
    }

    pub(crate) fn unknown_key(source: &Source, key: &str) -> Self {
        let hint = did_you_mean(key, keys::names()).unwrap_or_else(|| format!("; there are: {}", keys::listed()));
        Self::setting(source, &format!("{key}: unknown{hint}"))
    }

    /// A combination of settings that no one of them is to blame for.
    pub(crate) fn method(method: &str, problem: &str) -> Self {
        Self { location: None, problem: format!("[{method}] {problem}") }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Some(location) => write!(f, "{location}: {}", self.problem),
            None => f.write_str(&self.problem),
        }
    }
}

/// Everything that is wrong with the policies, each thing once.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// What is wrong, in the order of the lines.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Mistake> {
        self.0.iter()
    }

    /// A setting that many methods inherit is wrong once.
    pub(crate) fn add(&mut self, mistake: Mistake) {
        if !self.0.contains(&mistake) {
            self.0.push(mistake);
        }
    }

    /// In the order of the lines, where they have one.
    pub(crate) fn into_result(mut self) -> Result<(), Self> {
        self.0.sort_by_cached_key(|mistake| {
            let place = mistake.location.as_ref().map(|at| (at.file.clone(), at.line));
            (place.is_none(), place)
        });
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let things = if self.0.len() == 1 { "mistake" } else { "mistakes" };
        write!(f, "{} {things} in the policies:", self.0.len())?;
        self.0.iter().try_for_each(|mistake| write!(f, "\n  - {mistake}"))
    }
}

/// `; did you mean …?`, if a known name is near.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let (edits, nearest) = known.map(|candidate| (strsim::levenshtein(name, candidate), candidate)).min()?;
    (edits <= name.chars().count().div_ceil(EDITS_PART)).then(|| format!("; did you mean {nearest}?"))
}
