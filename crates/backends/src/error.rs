//! What keeps a server from running, in words that say what to do.

use std::io;
use std::path::{Path, PathBuf};

/// A server's program is not on this machine.
#[derive(Debug, thiserror::Error)]
#[error("{program} was not found on this machine; {install}")]
pub struct NotFound {
    program: &'static str,
    install: &'static str,
}

impl NotFound {
    pub(crate) fn new(program: &'static str, install: &'static str) -> Self {
        Self { program, install }
    }

    /// What was looked for.
    pub fn program(&self) -> &'static str {
        self.program
    }

    /// How to get it, as a sentence.
    pub fn install(&self) -> &'static str {
        self.install
    }
}

/// A server was found and did not start.
#[derive(Debug, thiserror::Error)]
pub struct StartError {
    text: String,
    log: Option<PathBuf>,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)?;
        let Some(log) = &self.log else { return Ok(()) };
        write!(f, "; the last lines of {}:", log.display())?;
        last_lines(log).iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl StartError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), log: None, source: None }
    }

    pub(crate) fn io(action: &str, path: &Path, source: io::Error) -> Self {
        Self::new(format!("cannot {action} {}", path.display())).with_source(source)
    }

    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(crate) fn with_log(mut self, log: &Path) -> Self {
        self.log = Some(log.to_owned());
        self
    }
}

/// The end of a log, read from its last 8 KiB.
fn last_lines(path: &Path) -> Vec<String> {
    const LINES_MAX: usize = 20;
    const BYTES_MAX: usize = 8 * 1024;
    let Ok(bytes) = std::fs::read(path) else { return Vec::new() };
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(BYTES_MAX)..]).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_MAX)..].iter().map(|line| (*line).to_owned()).collect()
}
