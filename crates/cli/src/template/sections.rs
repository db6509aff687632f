//! The marked sections of a template: lines that are there for some services only.
//!
//! A mark is a comment of the file's own language, so that a template stays code of that language:
//!
//! ```text
//! //% if sql stream        for services with both
//! //% if sql not calls     for services with SQL that call nobody
//! //% else
//! //% each calls           once for each service that is called
//! //% end
//! ```
//!
//! `#%`, `--%` and `<!--%` are the same where comments begin so. Words such as `__name__` are replaced in
//! every line.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

/// A word of the template and what takes its place.
pub(crate) type Word = (&'static str, String);

/// What a template is filled in with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// What holds of the service.
    pub(crate) flags: BTreeSet<&'static str>,
    /// Of the service.
    pub(crate) words: Vec<Word>,
    /// Of each service that it calls.
    pub(crate) calls: Vec<Vec<Word>>,
}

/// What a mark says.
#[derive(Debug, PartialEq, Eq)]
enum Mark<'a> {
    /// Flags, and whether each is to hold.
    If(Vec<(&'a str, bool)>),
    Each,
    Else,
    End,
}

impl Facts {
    /// The text with its words in place, the sections that hold, and no empty lines beyond one.
    pub(crate) fn fill_in(&self, text: &str) -> Result<String> {
        let lines: Vec<&str> = text.lines().collect();
        let mut filled = String::with_capacity(text.len());
        self.render(&lines, &[], &mut filled)?;
        Ok(tidy(&filled))
    }

    /// The text with its words in place.
    pub(crate) fn words_in(&self, text: &str) -> String {
        replace(text, &self.words)
    }

    fn render(&self, lines: &[&str], further: &[Word], out: &mut String) -> Result<()> {
        let mut at = 0;
        while let Some(line) = lines.get(at) {
            let Some(mark) = mark(line)? else {
                out.push_str(&replace(&replace(line, further), &self.words));
                out.push('\n');
                at += 1;
                continue;
            };
            if matches!(mark, Mark::Else | Mark::End) {
                bail!("nothing is open before {line:?}");
            }
            let (otherwise, end) = ends(lines, at)?;
            let body = &lines[at + 1..otherwise.unwrap_or(end)];
            match mark {
                Mark::If(wanted) => {
                    if wanted.iter().all(|(flag, holds)| self.flags.contains(flag) == *holds) {
                        self.render(body, further, out)?;
                    } else if let Some(otherwise) = otherwise {
                        self.render(&lines[otherwise + 1..end], further, out)?;
                    }
                }
                Mark::Each => {
                    for call in &self.calls {
                        self.render(body, call, out)?;
                    }
                }
                Mark::Else | Mark::End => {}
            }
            at = end + 1;
        }
        Ok(())
    }
}

/// Where the section that begins at `start` has its `else`, if any, and its `end`.
fn ends(lines: &[&str], start: usize) -> Result<(Option<usize>, usize)> {
    let (mut depth, mut otherwise) = (0, None);
    for (at, line) in lines.iter().enumerate().skip(start) {
        match mark(line)? {
            Some(Mark::If(_) | Mark::Each) => depth += 1,
            Some(Mark::Else) if depth == 1 => otherwise = Some(at),
            Some(Mark::End) => depth -= 1,
            Some(Mark::Else) | None => {}
        }
        if depth <= 0 {
            return Ok((otherwise, at));
        }
    }
    bail!("{:?} has no end", lines[start])
}

/// The mark on a line, if it is one.
fn mark(line: &str) -> Result<Option<Mark<'_>>> {
    let line = line.trim();
    let beginnings = ["//%", "#%", "--%", "<!--%"];
    let Some(said) = beginnings.iter().find_map(|beginning| line.strip_prefix(beginning)) else { return Ok(None) };
    let words: Vec<&str> = said.trim_end_matches("-->").split_whitespace().collect();
    Ok(Some(match words.as_slice() {
        ["if", flags @ .., last] if *last != "not" => {
            let all = flags.iter().chain([last]);
            let before = ["if"].iter().chain(flags);
            let holds = all.zip(before).filter(|(flag, _)| **flag != "not");
            Mark::If(holds.map(|(flag, before)| (*flag, *before != "not")).collect())
        }
        ["each", "calls"] => Mark::Each,
        ["else"] => Mark::Else,
        ["end"] => Mark::End,
        _ => bail!("{line:?} is not a mark"),
    }))
}

fn replace(text: &str, words: &[Word]) -> String {
    words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value))
}

/// Without empty lines at both ends, and no two of them together: sections leave them behind.
fn tidy(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len());
    let mut was_empty = true;
    for line in text.lines() {
        if !(line.is_empty() && was_empty) {
            tidy.push_str(line);
            tidy.push('\n');
        }
        was_empty = line.is_empty();
    }
    tidy.truncate(tidy.trim_end_matches('\n').len());
    if !tidy.is_empty() {
        tidy.push('\n');
    }
    tidy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(flags: &[&'static str], calls: &[&str]) -> Facts {
        Facts {
            flags: flags.iter().copied().collect(),
            words: vec![("__name__", "billing".to_owned())],
            calls: calls.iter().map(|call| vec![("__peer__", (*call).to_owned())]).collect(),
        }
    }

    #[test]
    fn sections_are_there_where_their_flags_hold() {
        let text = "a\n//% if sql\nsql\n//% if stream\nboth\n//% else\nsql only\n//% end\n//% else\nnone\n//% end\nb\n";
        assert_eq!(facts(&["sql", "stream"], &[]).fill_in(text).unwrap(), "a\nsql\nboth\nb\n");
        assert_eq!(facts(&["sql"], &[]).fill_in(text).unwrap(), "a\nsql\nsql only\nb\n");
        assert_eq!(facts(&["stream"], &[]).fill_in(text).unwrap(), "a\nnone\nb\n");
        let not = "#% if stream not sql\nx\n#% end\n";
        assert_eq!(facts(&["sql", "stream"], &[]).fill_in(not).unwrap(), "");
        assert_eq!(facts(&["stream"], &[]).fill_in(not).unwrap(), "x\n");
        assert_eq!(facts(&[], &[]).fill_in(not).unwrap(), "");
    }

    #[test]
    fn a_section_is_repeated_for_each_call() {
        let text = "  --% each calls\n  __name__ calls __peer__\n  --% end\n";
        let filled = facts(&[], &["user", "order"]).fill_in(text).unwrap();
        assert_eq!(filled, "  billing calls user\n  billing calls order\n");
        assert_eq!(facts(&[], &[]).fill_in(text).unwrap(), "");
    }

    #[test]
    fn empty_lines_do_not_pile_up() {
        let text = "\na\n\n//% if sql\n\nb\n//% end\n\nc\n\n\n";
        assert_eq!(facts(&[], &[]).fill_in(text).unwrap(), "a\n\nc\n");
    }

    #[test]
    fn a_wrong_mark_is_named() {
        for text in ["//% if sql\na\n", "//% end\n", "//% wenn sql\n//% end\n", "//% if\n//% end\n", "//% else\n"] {
            assert!(facts(&[], &[]).fill_in(text).is_err(), "{text}");
        }
    }
}
