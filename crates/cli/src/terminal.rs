//! How the command line looks: the verbs, colours and tables of all commands.
//!
//! What a command answers goes to standard output; progress and complaints go to standard error, in
//! the style of cargo, beside whose lines they stand. Colours are left out where the stream is no
//! terminal or `NO_COLOR` is set.

use std::fmt::Display;
use std::io::Write;

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use clap::builder::Styles;

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(crate) const BUSY: Style = AnsiColor::Cyan.on_default().bold();
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();

/// The colours of `--help`: those of cargo.
pub(crate) const HELP: Styles =
    Styles::styled().header(GOOD).usage(GOOD).literal(BUSY).placeholder(AnsiColor::Cyan.on_default()).error(BAD);

/// Columns between two cells.
const GAP: usize = 2;
const WIDTH_ELSEWHERE: usize = 120;

/// The text between the codes of a style.
pub(crate) fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Such as `1 service` or `2 services`.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A line of progress, such as `     Serving user on 127.0.0.1:50051`.
pub(crate) fn status(verb: &str, message: impl Display) {
    progress(format_args!("{GOOD}{verb:>12}{GOOD:#} {message}"));
}

/// A line of progress that somebody should look at.
pub(crate) fn warning(verb: &str, message: impl Display) {
    progress(format_args!("{WARN}{verb:>12}{WARN:#} {message}"));
}

/// A line of progress as it is. That nobody reads it, as when the terminal has been closed, is no
/// reason to end before everything else has ended.
pub(crate) fn progress(line: impl Display) {
    let _ = writeln!(anstream::stderr().lock(), "{line}");
}

/// A line of a command's answer. Fails when nobody reads it any more, as in `… | head`.
pub(crate) fn print(line: impl Display) -> Result<()> {
    Ok(writeln!(anstream::stdout().lock(), "{line}")?)
}

/// Lines of a command's answer, each with its end. Fails as [`print()`] does.
pub(crate) fn print_lines(lines: &str) -> Result<()> {
    Ok(anstream::stdout().lock().write_all(lines.as_bytes())?)
}

/// The columns of the terminal; where there is none, as many as a log file may have.
pub(crate) fn width() -> usize {
    terminal_size::terminal_size().map_or(WIDTH_ELSEWHERE, |(width, _)| width.0.into())
}

/// Whether an error only says that nobody reads our answer any more.
pub(crate) fn is_unread(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// What went wrong, with its causes below one another.
pub(crate) fn error(error: &anyhow::Error) {
    progress(format_args!("{BAD}error{BAD:#}: {error}"));
    for cause in error.chain().skip(1) {
        progress(format_args!("  {DIM}because{DIM:#} {cause}"));
    }
}

/// Columns under headings, as wide as they need to be.
#[derive(Debug)]
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<(String, Style)>>,
}

impl Table {
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: Vec<(String, Style)>) {
        self.rows.push(cells);
    }

    /// The lines, with codes of styles and no space at their ends.
    pub(crate) fn lines(&self) -> Vec<String> {
        let widths: Vec<usize> = (0..self.headings.len())
            .map(|column| {
                let cells = self.rows.iter().map(|row| row[column].0.chars().count());
                cells.chain([self.headings[column].len()]).max().unwrap_or(0)
            })
            .collect();
        let headings = self.headings.iter().map(|heading| ((*heading).to_owned(), DIM)).collect();
        std::iter::once(&headings).chain(&self.rows).map(|row| line(row, &widths)).collect()
    }
}

fn line(row: &[(String, Style)], widths: &[usize]) -> String {
    let mut line = String::new();
    // The gap before a cell that is written; empty cells at the end leave none.
    let mut gap = 0;
    for ((text, style), width) in row.iter().zip(widths) {
        let columns = text.chars().count();
        if columns > 0 {
            line.push_str(&format!("{:gap$}{style}{text}{style:#}", ""));
            gap = 0;
        }
        gap += width - columns + GAP;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_nothing_trails() {
        let mut table = Table::new(&["NAME", "STATE"]);
        table.row(vec![("user".into(), Style::new()), ("serving".into(), Style::new())]);
        table.row(vec![("notifier".into(), Style::new()), ("failed".into(), Style::new())]);
        table.row(vec![("order".into(), Style::new()), (String::new(), Style::new())]);
        let lines = table.lines();
        assert_eq!(lines[1], "user      serving");
        assert_eq!(lines[2], "notifier  failed");
        assert_eq!(lines[3], "order");
    }
}
