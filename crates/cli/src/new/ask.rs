//! The questions that `new` asks on a terminal, for what no flag has said.

use std::io::{BufRead, IsTerminal as _, Write};

use anyhow::{Context, Result};

use crate::template::options::Store;

/// Who answers.
pub(super) struct Questions<R, W> {
    answers: R,
    questions: W,
}

/// Whether somebody is there to answer.
pub(super) fn is_answered() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Questions on the terminal.
pub(super) fn terminal() -> Questions<impl BufRead, impl Write> {
    Questions { answers: std::io::stdin().lock(), questions: anstream::stderr() }
}

impl<R: BufRead, W: Write> Questions<R, W> {
    pub(super) fn name(&mut self) -> Result<String> {
        self.ask("What is the service called, such as billing?", "", |answer| {
            (!answer.is_empty()).then(|| answer.to_owned())
        })
    }

    pub(super) fn store(&mut self) -> Result<Store> {
        self.ask("Does it keep something in a database, sql or none?", "sql", |answer| match answer {
            "sql" => Some(Store::Sql),
            "none" => Some(Store::None),
            _ => None,
        })
    }

    /// Some of the services that there are.
    pub(super) fn calls(&mut self, known: &[&str]) -> Result<Vec<String>> {
        if known.is_empty() {
            return Ok(Vec::new());
        }
        let question = format!("Which services does it call, of {}?", known.join(","));
        self.ask(&question, "none", |answer| {
            let chosen: Vec<String> = answer.split(',').map(|name| name.trim().to_owned()).collect();
            let is_known = chosen.iter().all(|name| known.contains(&name.as_str()));
            (answer == "none").then(Vec::new).or_else(|| is_known.then_some(chosen))
        })
    }

    pub(super) fn stream(&mut self) -> Result<bool> {
        self.ask("Has it a method that streams, yes or no?", "no", |answer| match answer {
            "yes" | "y" => Some(true),
            "no" | "n" => Some(false),
            _ => None,
        })
    }

    /// Asks until the answer means something. No answer is the default.
    fn ask<T>(&mut self, question: &str, default: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T> {
        loop {
            let shown = if default.is_empty() { String::new() } else { format!(" [{default}]") };
            write!(self.questions, "{question}{shown} ")?;
            self.questions.flush()?;
            let mut line = String::new();
            let read = self.answers.read_line(&mut line).context("the answer cannot be read")?;
            anyhow::ensure!(read > 0, "nobody answers; flags say the same, see `cargo seawall new --help`");
            let answer = if line.trim().is_empty() { default } else { line.trim() };
            if let Some(answer) = parse(answer) {
                return Ok(answer);
            }
            writeln!(self.questions, "{answer:?} is none of what can be answered")?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn questions(answers: &str) -> Questions<&[u8], Vec<u8>> {
        Questions { answers: answers.as_bytes(), questions: Vec::new() }
    }

    #[test]
    fn an_empty_line_is_the_default_and_nonsense_is_asked_again() {
        let mut asked = questions("\nperhaps\nnone\n\nuser, order\nnobody\nuser\n\ny\n");
        assert_eq!(asked.store().unwrap(), Store::Sql);
        assert_eq!(asked.store().unwrap(), Store::None);
        let known = ["order", "user"];
        assert_eq!(asked.calls(&known).unwrap(), Vec::<String>::new());
        assert_eq!(asked.calls(&known).unwrap(), ["user", "order"]);
        assert_eq!(asked.calls(&known).unwrap(), ["user"]);
        assert!(!asked.stream().unwrap());
        assert!(asked.stream().unwrap());
        assert!(asked.stream().is_err(), "nobody answers");
        let shown = String::from_utf8(asked.questions).unwrap();
        assert!(shown.contains("sql or none? [sql] \"perhaps\" is none of"), "{shown}");
    }

    #[test]
    fn a_name_has_no_default_and_nobody_is_asked_about_no_services() {
        assert_eq!(questions("\nbilling\n").name().unwrap(), "billing");
        assert_eq!(questions("").calls(&[]).unwrap(), Vec::<String>::new());
    }
}
