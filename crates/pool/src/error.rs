//! What can go wrong with a database, without a word of what is in it.

use std::error::Error as StdError;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use seawall_error::{Code, SEAWALL};

type Source = Box<dyn StdError + Send + Sync>;

/// A failure of the pool or of a statement. Neither it nor its sources show a password or the value
/// of a parameter.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    text: String,
    source: Option<Source>,
}

/// What kind of failure it is; decides the status that a caller sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Settings,
    Unreachable,
    Exhausted,
    Deadline,
    Busy,
    Unique,
    Statement,
    Transaction,
    Column,
    Migration,
}

impl Kind {
    /// For the attribute `error.type`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Unreachable => "unreachable",
            Self::Exhausted => "pool_exhausted",
            Self::Deadline => "deadline_exceeded",
            Self::Busy => "busy",
            Self::Unique => "unique_violation",
            Self::Statement => "statement",
            Self::Transaction => "transaction",
            Self::Column => "column",
            Self::Migration => "migration",
        }
    }
}

impl Error {
    pub(crate) fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, text: text.into(), source: None }))
    }

    pub(crate) fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    pub(crate) fn kind(&self) -> Kind {
        self.0.kind
    }

    pub(crate) fn settings(text: impl Into<String>) -> Self {
        Self::new(Kind::Settings, text)
    }

    pub(crate) fn column(text: String) -> Self {
        Self::new(Kind::Column, text)
    }

    pub(crate) fn deadline() -> Self {
        Self::new(Kind::Deadline, "the deadline of the call has passed")
    }

    pub(crate) fn exhausted(size_max: u32, waited: Duration) -> Self {
        let text = format!("all {size_max} connections to the database stayed in use for {waited:?}");
        Self::new(Kind::Exhausted, text)
    }

    pub(crate) fn unreachable(database: &str) -> Self {
        let text = if database.starts_with("sqlite:") {
            format!("cannot use the database {database}")
        } else {
            format!("cannot connect to the database {database}: is it running, and is sql.url right?")
        };
        Self::new(Kind::Unreachable, text)
    }

    pub(crate) fn cannot_open(path: &Path) -> Self {
        let text = format!("cannot open the database file {}: may it be written, and is there room?", path.display());
        Self::new(Kind::Unreachable, text)
    }

    pub(crate) fn lost() -> Self {
        Self::new(Kind::Unreachable, "the connection to the database was lost")
    }

    pub(crate) fn statement(kind: Kind) -> Self {
        let text = match kind {
            Kind::Busy => "the database stayed locked by another write",
            Kind::Unique => "a row with the same key exists",
            _ => "the statement failed",
        };
        Self::new(kind, text)
    }

    pub(crate) fn parameter_count(expected: usize, given: usize) -> Self {
        Self::new(Kind::Statement, format!("the statement has {expected} parameters, and {given} were given"))
    }

    /// Whether a row exists already with the same key.
    pub fn unique_violation(&self) -> bool {
        self.kind() == Kind::Unique
    }

    /// Whether the deadline of the call passed before the database had answered. The effect of the
    /// statement is then unknown, unless it was in a transaction: that is rolled back.
    pub fn deadline_exceeded(&self) -> bool {
        self.kind() == Kind::Deadline
    }

    /// Whether no connection came free in time.
    pub fn pool_exhausted(&self) -> bool {
        self.kind() == Kind::Exhausted
    }

    /// Whether there is no connection to the database: it cannot be reached, or it went away.
    pub fn unreachable_database(&self) -> bool {
        self.kind() == Kind::Unreachable
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<Error> for seawall_error::Error {
    fn from(error: Error) -> Self {
        let outward = match error.kind() {
            Kind::Deadline => Self::deadline_exceeded(),
            Kind::Exhausted => {
                SEAWALL.error(Code::ResourceExhausted, "POOL_EXHAUSTED", "all database connections are in use")
            }
            Kind::Unreachable => {
                SEAWALL.error(Code::Unavailable, "DATABASE_UNAVAILABLE", "the database cannot be reached")
            }
            Kind::Busy => SEAWALL.error(Code::Unavailable, "DATABASE_BUSY", "the database is busy with other writes"),
            Kind::Settings | Kind::Unique | Kind::Statement | Kind::Transaction | Kind::Column | Kind::Migration => {
                return Self::internal(error);
            }
        };
        outward.with_source(error)
    }
}
