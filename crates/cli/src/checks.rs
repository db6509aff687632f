//! Checks that all run, whatever comes of the others, and the table of how they ended.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anstyle::Style;
use anyhow::Result;

use crate::terminal::{self, BAD, BOLD, GOOD, Table, WARN};

/// A check that has been made.
#[derive(Debug)]
pub(crate) struct Check {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

#[derive(Debug)]
enum Outcome {
    Ok,
    Failed(String),
    Skipped(String),
}

impl Check {
    pub(crate) fn skipped(name: &'static str, cause: String) -> Self {
        Self { name, outcome: Outcome::Skipped(cause), took: Duration::ZERO }
    }

    pub(crate) fn has_failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(_))
    }
}

/// Makes a check.
pub(crate) fn run(name: &'static str, check: impl FnOnce() -> Result<()>) -> Check {
    let began = Instant::now();
    let outcome = match check() {
        Ok(()) => Outcome::Ok,
        Err(error) => Outcome::Failed(format!("{error:#}")),
    };
    Check { name, outcome, took: began.elapsed() }
}

/// Prints how the checks ended. One that failed makes the whole fail.
pub(crate) fn report(checks: &[Check]) -> Result<ExitCode> {
    let mut table = Table::new(&["CHECK", "RESULT", "TIME", ""]);
    for check in checks {
        let (result, style, cause) = match &check.outcome {
            Outcome::Ok => ("ok", GOOD, ""),
            Outcome::Failed(cause) => ("failed", BAD, cause.as_str()),
            Outcome::Skipped(cause) => ("skipped", WARN, cause.as_str()),
        };
        let time = format!("{:.1} s", check.took.as_secs_f64());
        table.row(vec![
            (check.name.to_owned(), BOLD),
            (result.to_owned(), style),
            (time, Style::new()),
            (cause.to_owned(), Style::new()),
        ]);
    }
    terminal::print("")?;
    table.lines().into_iter().try_for_each(terminal::print)?;
    let failed = checks.iter().any(Check::has_failed);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn one_failure_fails_all_and_a_skip_does_not() {
        let ok = || run("a", || Ok(()));
        let skipped = || Check::skipped("b", "no buf".into());
        assert_eq!(report(&[ok(), skipped()]).unwrap(), ExitCode::SUCCESS);
        assert_eq!(report(&[ok(), run("c", || bail!("no"))]).unwrap(), ExitCode::FAILURE);
    }
}
