//! What a service keeps of its template: `services/NAME/.template.json`.
//!
//! The texts themselves are in it, not only where they came from. So `rm` knows what was edited and
//! `upgrade` has what both sides began with, whatever became of the history of the workspace and of the
//! program that made the service.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::Rendered;
use super::options::Options;

/// The record of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// Of the program that made it.
    pub(crate) version: String,
    pub(crate) options: Options,
    /// By path from the root, line by line, so that changes of it can be read.
    files: BTreeMap<String, Vec<String>>,
    parts: BTreeMap<String, Vec<String>>,
}

impl Record {
    pub(crate) fn new(options: Options, rendered: &Rendered) -> Self {
        let lines = |texts: &BTreeMap<String, String>| {
            texts.iter().map(|(path, text)| (path.clone(), text.lines().map(str::to_owned).collect())).collect()
        };
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            options,
            files: lines(&rendered.files),
            parts: lines(&rendered.parts),
        }
    }

    /// What the template made.
    pub(crate) fn rendered(&self) -> Rendered {
        let texts = |lines: &BTreeMap<String, Vec<String>>| {
            lines.iter().map(|(path, lines)| (path.clone(), lines.join("\n") + "\n")).collect()
        };
        Rendered { files: texts(&self.files), parts: texts(&self.parts) }
    }

    /// Where that of a service lies, from the root.
    pub(crate) fn path(name: &str) -> String {
        format!("services/{name}/.template.json")
    }

    pub(crate) fn read(root: &Path, name: &str) -> Result<Self> {
        let path = Self::path(name);
        let text = std::fs::read_to_string(root.join(&path)).with_context(|| {
            format!("{path} cannot be read; without it, it is not known what `cargo seawall new` made of {name}")
        })?;
        serde_json::from_str(&text).with_context(|| format!("{path} is not understood"))
    }

    pub(crate) fn to_text(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_gives_back_every_text() {
        let texts = |text: &str| BTreeMap::from([("a".to_owned(), text.to_owned())]);
        let rendered = Rendered { files: texts("//! A.\n\n\tfn\n"), parts: texts("  b:\n") };
        let options = Options { name: "billing".to_owned(), ..Options::default() };
        let record = Record::new(options, &rendered);
        let read: Record = serde_json::from_str(&record.to_text().unwrap()).unwrap();
        assert_eq!(read, record);
        assert_eq!(read.rendered(), rendered);
    }
}
