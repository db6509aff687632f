//! What was found, and how it is shown.

use anyhow::Result;
use serde::{Serialize, Serializer};

use crate::terminal::{self, BAD, BOLD, BUSY, DIM, GOOD, WARN, count, styled};

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    Ok,
    /// Something that is not there and that not everybody needs.
    Note,
    /// It works, and not as one may think.
    Warning,
    /// It does not work.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// Such as `ports`.
    pub(super) about: &'static str,
    pub(super) level: Level,
    pub(super) what: String,
    /// What to do, unless all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
}

/// All of them, those about the same thing one after another.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn ok(&mut self, about: &'static str, what: impl Into<String>) {
        self.0.push(Finding { about, level: Level::Ok, what: what.into(), fix: None });
    }

    pub(super) fn add(&mut self, about: &'static str, level: Level, what: impl Into<String>, fix: impl Into<String>) {
        self.0.push(Finding { about, level, what: what.into(), fix: Some(fix.into()) });
    }

    pub(super) fn count(&self, level: Level) -> usize {
        self.0.iter().filter(|finding| finding.level == level).count()
    }

    /// As text, and how many there are at the end.
    pub(super) fn print(&self) -> Result<()> {
        let mut last = "";
        for Finding { about, level, what, fix } in &self.0 {
            if *about != last {
                terminal::print(styled(BOLD, about))?;
                last = about;
            }
            let (mark, style) = match level {
                Level::Ok => ("ok", GOOD),
                Level::Note => ("note", DIM),
                Level::Warning => ("warning", WARN),
                Level::Problem => ("problem", BAD),
            };
            let mut lines = what.lines();
            let first = lines.next().unwrap_or_default();
            terminal::print(format!("  {} {first}", styled(style, format!("{mark:8}"))))?;
            lines.try_for_each(|line| terminal::print(format!("{:11}{line}", "")))?;
            if let Some(fix) = fix {
                terminal::print(format!("{:11}{} {fix}", "", styled(BUSY, "fix:")))?;
            }
        }
        let problems = count(self.count(Level::Problem), "problem", "problems");
        let warnings = count(self.count(Level::Warning), "warning", "warnings");
        terminal::print(format!("\n{problems}, {warnings}"))
    }
}

impl Serialize for Findings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let all = serde_json::json!({
            "findings": self.0,
            "problems": self.count(Level::Problem),
            "warnings": self.count(Level::Warning),
        });
        all.serialize(serializer)
    }
}
