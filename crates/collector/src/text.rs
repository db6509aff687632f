//! Text in columns of a terminal: widths, cutting, escaping, colours, and times as people write them.

use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Colours and weights, as terminals number them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Bold,
    Dim,
    Red,
    Yellow,
    /// One of six for telling services apart; red and yellow mean something else.
    Service(usize),
}

/// Text with styles, or without where the reader does not want them.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) text: String,
    colour: bool,
}

impl Page {
    pub(crate) fn new(colour: bool) -> Self {
        Self { text: String::new(), colour }
    }

    pub(crate) fn put(&mut self, style: Style, text: &str) {
        let code = match style {
            _ if !self.colour || text.trim().is_empty() => "",
            Style::Plain => "",
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Red => "1;31",
            Style::Yellow => "33",
            Style::Service(index) => ["36", "32", "34", "35", "96", "94"][index % 6],
        };
        if code.is_empty() {
            self.text.push_str(text);
        } else {
            // Writing to a string cannot fail.
            let _ = write!(self.text, "\u{1b}[{code}m{text}\u{1b}[0m");
        }
    }

    /// Ends a line, without the spaces at its end.
    pub(crate) fn end_line(&mut self) {
        self.text.truncate(self.text.trim_end_matches(' ').len());
        self.text.push('\n');
    }
}

/// Terminal columns that escaped text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Without anything that a terminal would act on, or show without a width: control characters,
/// changes of direction, marks that join others. They are written as in a Rust literal.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        let is_quote = matches!(char, '"' | '\'' | '\\');
        if is_quote || (char.width().is_some_and(|width| width > 0) && char.escape_debug().len() == 1) {
            escaped.push(char);
        } else {
            escaped.extend(char.escape_debug());
        }
    }
    escaped
}

/// At most so many columns, with `…` for what was cut off the end.
pub(crate) fn cut_end(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut left = columns.saturating_sub(1);
    let fits = |char: &char| left.checked_sub(char.width().unwrap_or(0)).map(|rest| left = rest).is_some();
    let mut cut: String = text.chars().take_while(fits).collect();
    if columns > 0 {
        cut.push('…');
    }
    cut
}

/// As [`cut_end`], but a method's full name is cut at its front: the end tells it apart.
pub(crate) fn cut_name(name: &str, columns: usize) -> String {
    if width(name) <= columns || !name.contains('/') || name.contains(' ') || columns == 0 {
        return cut_end(name, columns);
    }
    let mut left = columns - 1;
    let fits = |char: &char| left.checked_sub(char.width().unwrap_or(0)).map(|rest| left = rest).is_some();
    let kept: Vec<char> = name.chars().rev().take_while(fits).collect();
    std::iter::once('…').chain(kept.into_iter().rev()).collect()
}

/// With spaces behind it up to so many columns.
pub(crate) fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// With spaces before it up to so many columns.
pub(crate) fn pad_start(text: &str, columns: usize) -> String {
    format!("{}{text}", " ".repeat(columns.saturating_sub(width(text))))
}

/// Three digits and a unit: `812 ns`, `1.24 ms`, `31.0 s`; from a minute on two units: `2 min 5 s`.
pub(crate) fn duration(ns: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    // Units change where the smaller one would be rounded up to four digits.
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..999_500 => three_digits(ns, 1_000, "µs"),
        999_500..999_500_000 => three_digits(ns, 1_000_000, "ms"),
        999_500_000..60_000_000_000 => three_digits(ns, 1_000_000_000, "s"),
        _ => match ns / 1_000_000_000 {
            s @ 0..HOUR => format!("{} min {} s", s / MINUTE, s % MINUTE),
            s @ HOUR..DAY => format!("{} h {} min", s / HOUR, s % HOUR / MINUTE),
            s => format!("{} d {} h", s / DAY, s % DAY / HOUR),
        },
    }
}

fn three_digits(ns: u64, unit_ns: u64, unit: &str) -> String {
    let value = ns as f64 / unit_ns as f64;
    let digits = match value {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

/// A count and its noun, which takes an `s` unless there is one.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let mut digits = number.to_string();
    let mut at = digits.len();
    while at > 3 {
        at -= 3;
        digits.insert(at, ',');
    }
    format!("{digits} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::{count, cut_end, cut_name, duration, escape, width};

    #[test]
    fn durations_have_three_digits() {
        let cases = [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (9_995, "10.0 µs"),
            (999_499, "999 µs"),
            (999_500, "1.00 ms"),
            (18_440_000, "18.4 ms"),
            (999_500_000, "1.00 s"),
            (59_940_000_000, "59.9 s"),
            (125_000_000_000, "2 min 5 s"),
            (3_660_000_000_000, "1 h 1 min"),
            (u64::MAX, "213503 d 23 h"),
        ];
        for (ns, text) in cases {
            assert_eq!(duration(ns), text);
        }
    }

    #[test]
    fn nothing_that_a_terminal_acts_on_is_left() {
        assert_eq!(escape("a\u{1b}[2Jb\nc\td"), "a\\u{1b}[2Jb\\nc\\td");
        assert_eq!(escape("\u{202e}x\u{200d}\u{301}"), "\\u{202e}x\\u{200d}\\u{301}");
        assert_eq!(escape("it's \"日本\" \\o/ 🦀"), "it's \"日本\" \\o/ 🦀");
    }

    #[test]
    fn cuts_keep_to_their_columns() {
        assert_eq!(cut_end("日本語", 5), "日本…");
        assert_eq!(cut_end("日本語", 4), "日…", "half a character is none");
        assert_eq!(cut_end("abc", 0), "");
        assert_eq!(cut_name("seawall.user.v1.UserService/GetUser", 20), "…UserService/GetUser");
        assert_eq!(cut_name("SELECT a/b FROM orders", 10), "SELECT a/…");
        assert_eq!(width(&cut_name("日/本語", 4)), 3);
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(count(1, "span"), "1 span");
        assert_eq!(count(1_234_567, "span"), "1,234,567 spans");
    }
}
