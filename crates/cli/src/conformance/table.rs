//! What came of each case, as a table with totals.

use std::process::ExitCode;

use anstyle::Style;
use anyhow::Result;

use crate::terminal::{self, BAD, BOLD, DIM, GOOD, Table, WARN, styled};

/// A longer cell makes the table unreadable; what a program said is in its log.
const CELL_CHARACTERS_MAX: usize = 64;

/// One case with one peer.
#[derive(Debug)]
pub(super) struct Row {
    peer: String,
    case: String,
    /// Empty where it is skipped.
    expected: String,
    verdict: Verdict,
}

#[derive(Debug)]
enum Verdict {
    Passed(String),
    Failed(String),
    /// It fails, and is to: the reason is told below the table.
    Known {
        got: String,
        reason: &'static str,
    },
    Skipped(String),
}

impl Row {
    fn new(peer: &str, case: &str, expected: &str, verdict: Verdict) -> Self {
        Self { peer: peer.to_owned(), case: case.to_owned(), expected: expected.to_owned(), verdict }
    }

    /// Got what was expected.
    pub(super) fn passed(peer: &str, case: &str, expected: &str) -> Self {
        Self::new(peer, case, expected, Verdict::Passed(expected.to_owned()))
    }

    /// Passed, and there is more to say.
    pub(super) fn passed_with(peer: &str, case: &str, expected: &str, got: String) -> Self {
        Self::new(peer, case, expected, Verdict::Passed(got))
    }

    pub(super) fn failed(peer: &str, case: &str, expected: &str, got: String) -> Self {
        Self::new(peer, case, expected, Verdict::Failed(got))
    }

    /// Passed if it got what was expected.
    pub(super) fn compared(peer: &str, case: &str, expected: &str, got: Result<String>) -> Self {
        match got {
            Ok(got) if got == expected => Self::passed(peer, case, expected),
            Ok(got) => Self::failed(peer, case, expected, got),
            Err(error) => Self::failed(peer, case, expected, format!("{error:#}")),
        }
    }

    pub(super) fn known(peer: &str, case: &str, expected: &str, got: String, reason: &'static str) -> Self {
        Self::new(peer, case, expected, Verdict::Known { got, reason })
    }

    /// What all cases of a peer are if it cannot be had.
    pub(super) fn skipped(peer: &str, case: &str, why: impl Into<String>) -> Self {
        Self::new(peer, case, "", Verdict::Skipped(why.into()))
    }
}

/// The rows of all peers.
#[derive(Debug, Default)]
pub(super) struct Rows(Vec<Row>);

impl Rows {
    /// Adds those of a peer. That the lab failed is a failure of its own.
    pub(super) fn extend(&mut self, peer: String, rows: Result<Vec<Row>>) {
        match rows {
            Ok(rows) => self.0.extend(rows),
            Err(error) => self.0.push(Row::failed(&peer, "all", "to be run", format!("{error:#}"))),
        }
    }

    /// Prints the table, the reasons of known failures, and the totals last. A failure that is not
    /// known makes the whole fail.
    pub(super) fn report(&self) -> Result<ExitCode> {
        let mut table = Table::new(&["PEER", "CASE", "RESULT", "EXPECTED", "GOT"]);
        let mut reasons: Vec<&str> = Vec::new();
        for Row { peer, case, expected, verdict } in &self.0 {
            let (got, result, style) = match verdict {
                Verdict::Passed(got) => (got.as_str(), "passed".to_owned(), GOOD),
                Verdict::Failed(got) => (got.as_str(), "failed".to_owned(), BAD),
                Verdict::Known { got, reason } => {
                    let at = reasons.iter().position(|known| known == reason).unwrap_or_else(|| {
                        reasons.push(reason);
                        reasons.len() - 1
                    });
                    (got.as_str(), format!("known ({})", at + 1), WARN)
                }
                Verdict::Skipped(why) => (why.as_str(), "skipped".to_owned(), WARN),
            };
            table.row(vec![
                (clipped(peer), BOLD),
                (clipped(case), Style::new()),
                (result, style),
                (clipped(expected), Style::new()),
                (clipped(got), Style::new()),
            ]);
        }
        terminal::print("")?;
        table.lines().into_iter().try_for_each(terminal::print)?;
        terminal::print("")?;
        for (at, reason) in reasons.iter().enumerate() {
            terminal::print(styled(DIM, format!("({}) {reason}", at + 1)))?;
        }
        let count = |of: fn(&Verdict) -> bool| self.0.iter().filter(|row| of(&row.verdict)).count();
        let failed = count(|verdict| matches!(verdict, Verdict::Failed(_)));
        terminal::print(format!(
            "{} passed, {failed} failed, {} known to fail, {} skipped",
            count(|verdict| matches!(verdict, Verdict::Passed(_))),
            count(|verdict| matches!(verdict, Verdict::Known { .. })),
            count(|verdict| matches!(verdict, Verdict::Skipped(_))),
        ))?;
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn clipped(cell: &str) -> String {
    let line = cell.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(CELL_CHARACTERS_MAX) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn what_is_known_or_skipped_is_no_failure() {
        let mut rows = Rows::default();
        rows.extend("a".into(), Ok(vec![Row::passed("a", "1", "OK"), Row::skipped("a", "2", "no Go")]));
        rows.extend("b".into(), Ok(vec![Row::known("b", "1", "DATA", "HEADERS".into(), "gRPC has no body there")]));
        assert_eq!(rows.report().unwrap(), ExitCode::SUCCESS);
        rows.extend("c".into(), bail_out());
        assert_eq!(rows.report().unwrap(), ExitCode::FAILURE);
    }

    fn bail_out() -> Result<Vec<Row>> {
        bail!("the server does not start")
    }

    #[test]
    fn what_differs_from_what_is_expected_has_failed() {
        let failed = |got| matches!(Row::compared("a", "1", "OK", got).verdict, Verdict::Failed(_));
        assert!(!failed(Ok("OK".into())));
        assert!(failed(Ok("UNKNOWN".into())));
        assert!(failed(bail_out().map(|_| String::new())));
    }

    #[test]
    fn a_cell_is_one_line_of_bounded_length() {
        assert_eq!(clipped("a\n  b"), "a b");
        assert_eq!(clipped(&"ä".repeat(1_000)).chars().count(), CELL_CHARACTERS_MAX + 1);
    }
}
