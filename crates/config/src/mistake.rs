//! What can be wrong with settings, in words that say how to put it right.

use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake(String);

impl Mistake {
    pub(crate) fn file(file: &str, problem: String) -> Self {
        Self(format!("{file}: {}", problem.trim_end()))
    }

    /// Says where the error is and does not quote what stands there, which may be a secret.
    pub(crate) fn toml(file: &str, text: &str, error: &toml::de::Error) -> Self {
        let start = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
        Self::file(file, format!("TOML parse error at line {line}: {}", error.message()))
    }

    pub(crate) fn value(key: &str, shown: &str, origin: &str, must_be: &str) -> Self {
        Self(format!("{key} = {shown} (from {origin}): must be {must_be}"))
    }

    pub(crate) fn combination(key: &str, variable: &str, must_be: &str) -> Self {
        Self(format!("{key} ({variable}): must be {must_be}"))
    }

    pub(crate) fn unknown<'a>(name: &str, origin: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let nearest = known.map(|candidate| (distance(name, candidate), candidate)).min();
        let hint = match nearest {
            Some((edits, candidate)) if edits <= 3 => format!("; did you mean {candidate}?"),
            _ => "; --settings lists the known ones".to_owned(),
        };
        Self(format!("{name} (in {origin}): unknown{hint}"))
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything that is wrong with the settings, one a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    pub(crate) fn try_from_all(all: Vec<Mistake>) -> Result<(), Self> {
        if all.is_empty() { Ok(()) } else { Err(Self(all)) }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let things = if self.0.len() == 1 { "mistake" } else { "mistakes" };
        write!(f, "{} {things} in the settings:", self.0.len())?;
        self.0.iter().try_for_each(|mistake| write!(f, "\n  - {mistake}"))
    }
}

/// Levenshtein's edit distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.chars().enumerate() {
            let substituted = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}
