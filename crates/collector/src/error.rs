//! What can go wrong with the file of traces.

use std::path::{Path, PathBuf};

/// Why traces cannot be kept or read.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Kind>);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Kind {
    #[error("cannot use {}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("cannot use {}", path.display())]
    Sqlite { path: PathBuf, source: rusqlite::Error },
    #[error("{} is a database of something else, and is left alone", path.display())]
    Foreign { path: PathBuf },
    #[error("{} was written by another version of Seawall", path.display())]
    Version { path: PathBuf },
    #[error("{} holds a span that cannot be read", path.display())]
    Span { path: PathBuf, source: prost::DecodeError },
    #[error("\"{text}\" is not a trace id: 1 to 32 hexadecimal digits")]
    NotAnId { text: String },
    #[error("\"{prefix}\" begins more than one trace id: {}{}", candidates.join(", "), if *more { ", …" } else { "" })]
    Ambiguous { prefix: String, candidates: Vec<String>, more: bool },
}

impl Error {
    pub(crate) fn sqlite(path: &Path) -> impl Fn(rusqlite::Error) -> Self {
        move |source| Kind::Sqlite { path: path.to_owned(), source }.into()
    }

    /// The trace ids that a prefix may mean, when it means several; the first ten at most.
    pub fn candidates(&self) -> Option<&[String]> {
        match &*self.0 {
            Kind::Ambiguous { candidates, .. } => Some(candidates),
            _ => None,
        }
    }

    /// Whether the file is not to be touched, because something else owns it.
    pub(crate) fn is_foreign(&self) -> bool {
        matches!(&*self.0, Kind::Foreign { .. })
    }

    /// Whether the file is of no more use to us.
    pub(crate) fn is_unusable(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match &*self.0 {
            Kind::Version { .. } => true,
            Kind::Sqlite { source, .. } => {
                matches!(source.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
            }
            _ => false,
        }
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self(Box::new(kind))
    }
}

/// The error and its causes in one line, for logs.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    with_causes(error.to_string(), error.source())
}

/// The same of an answer, whose own text would have its causes in it already, as Rust's debug text.
pub(crate) fn status_chain(status: &tonic::Status) -> String {
    with_causes(format!("{:?}: {}", status.code(), status.message()), std::error::Error::source(status))
}

/// Layers that only repeat what is below them are said once.
fn with_causes(mut text: String, mut next: Option<&dyn std::error::Error>) -> String {
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    #[test]
    fn the_cause_of_an_answer_is_one_plain_line() {
        let layer = |text, source: Option<Layer>| Layer { text, source: source.map(Box::new) };
        let refused = layer("connect error", Some(layer("connect error", Some(layer("refused", None)))));
        let status = tonic::Status::from_error(Box::new(layer("transport error", Some(refused))));
        assert_eq!(status_chain(&status), "Unknown: transport error: connect error: refused");
    }
}
