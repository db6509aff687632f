//! Spans of checkouts and statements, with the attributes of OpenTelemetry's conventions for
//! database clients. The text of a statement has placeholders; values never come here.

use std::future::Future;

use tracing::{Instrument as _, Span, field};

use crate::Shared;
use crate::driver::Output;
use crate::error::Error;

pub(crate) fn checkout(shared: &Shared) -> Span {
    tracing::info_span!(
        "pool checkout",
        otel.name = "pool checkout",
        otel.kind = "internal",
        otel.status_code = field::Empty,
        error.type = field::Empty,
        db.system.name = shared.backend.as_str(),
        db.client.connection.pool.name = shared.database,
    )
}

/// BEGIN, COMMIT and ROLLBACK.
pub(crate) fn control(shared: &Shared, operation: &'static str) -> Span {
    tracing::info_span!(
        "sql",
        otel.name = operation,
        otel.kind = "client",
        otel.status_code = field::Empty,
        error.type = field::Empty,
        db.system.name = shared.backend.as_str(),
        db.operation.name = operation,
    )
}

/// The fields are computed only if the span is enabled: the macro sees to it.
pub(crate) fn statement(shared: &Shared, sql: &'static str) -> Span {
    let span = tracing::info_span!(
        "sql",
        otel.name = %Summary::of(sql),
        otel.kind = "client",
        otel.status_code = field::Empty,
        error.type = field::Empty,
        db.system.name = shared.backend.as_str(),
        db.operation.name = Summary::of(sql).operation,
        db.collection.name = field::Empty,
        db.query.text = sql,
        db.response.returned_rows = field::Empty,
        db.response.affected_rows = field::Empty,
    );
    if !span.is_disabled()
        && let Some(table) = Summary::of(sql).table
    {
        span.record("db.collection.name", table);
    }
    span
}

pub(crate) fn within<F: Future>(span: &Span, future: F) -> impl Future<Output = F::Output> {
    future.instrument(span.clone())
}

pub(crate) fn finish<T>(span: &Span, result: Result<T, Error>) -> Result<T, Error> {
    if let Err(error) = &result {
        span.record("otel.status_code", "ERROR").record("error.type", error.kind().as_str());
    }
    result
}

pub(crate) fn finish_statement(span: &Span, result: Result<Output, Error>) -> Result<Output, Error> {
    if let Ok(output) = &result
        && !span.is_disabled()
    {
        span.record("db.response.returned_rows", output.rows.len());
        if output.rows.is_empty() {
            span.record("db.response.affected_rows", output.affected);
        }
    }
    finish(span, result)
}

/// What a statement does, and to which table first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary<'a> {
    pub(crate) operation: &'a str,
    pub(crate) table: Option<&'a str>,
}

impl<'a> Summary<'a> {
    /// Reads words, not SQL: it may miss the table of an unusual statement, and says then only the
    /// operation.
    pub(crate) fn of(sql: &'a str) -> Self {
        let mut words = sql.split(|c: char| c.is_whitespace() || "(),;".contains(c)).filter(|word| !word.is_empty());
        let operation = words.next().unwrap_or("SQL");
        let after = if is(operation, "UPDATE") { Some("UPDATE") } else { None };
        let table = match after {
            Some(_) => words.next(),
            None => words
                .by_ref()
                .find(|word| is(word, "FROM") || is(word, "INTO") || is(word, "TABLE"))
                .and_then(|_| words.find(|word| !["IF", "NOT", "EXISTS", "SELECT"].iter().any(|skip| is(word, skip)))),
        };
        Self { operation, table: table.map(|name| name.trim_matches('"')) }
    }

    /// Whether it only reads. A `WITH` that writes is taken for a read.
    pub(crate) fn is_read(&self) -> bool {
        ["SELECT", "WITH", "VALUES", "EXPLAIN", "PRAGMA"].iter().any(|read| is(self.operation, read))
    }
}

fn is(word: &str, keyword: &str) -> bool {
    word.eq_ignore_ascii_case(keyword)
}

impl std::fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.operation)?;
        self.table.map_or(Ok(()), |table| write!(f, " {table}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_summed_up_by_operation_and_first_table() {
        for (sql, summary) in [
            ("SELECT id, name FROM users WHERE id = $1", "SELECT users"),
            ("INSERT INTO orders(id, total)\nVALUES ($1, $2)", "INSERT orders"),
            ("UPDATE \"users\" SET name = $1", "UPDATE users"),
            ("  DELETE FROM users", "DELETE users"),
            ("CREATE TABLE IF NOT EXISTS users (id BIGINT)", "CREATE users"),
            ("SELECT count(*) FROM (SELECT 1 FROM users) AS u", "SELECT 1"),
            ("SELECT 1", "SELECT"),
            ("", "SQL"),
        ] {
            assert_eq!(Summary::of(sql).to_string(), summary, "{sql}");
        }
    }
}
