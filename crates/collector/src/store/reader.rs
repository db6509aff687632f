//! The file as its readers see it, in this process or another, also while it is being written.

use std::path::{Path, PathBuf};
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::Span as Proto;
use prost::Message as _;
use rusqlite::{Connection, OpenFlags, Transaction, params};

use super::disk;
use crate::decode;
use crate::error::{Error, Kind};
use crate::trace::{Filter, Trace, TraceSummary};

/// How long to wait for a process that recovers the file after a crash.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// Trace ids that an error about a prefix lists.
const CANDIDATES_MAX: usize = 10;

/// Reads a file of traces. Its methods block their thread for as long as the disk takes.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    /// `None` when nothing has been written yet.
    connection: Option<Connection>,
}

impl Reader {
    /// Opens the file. One that does not exist yet is read as empty, and is not created.
    ///
    /// # Errors
    /// When the file cannot be opened, is corrupt, or is not a file of traces.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let connection = if path.exists() { open(&path)? } else { None };
        Ok(Self { path, connection })
    }

    /// The traces that started last, newest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn recent(&self, limit: usize, filter: &Filter) -> Result<Vec<TraceSummary>, Error> {
        let Some(connection) = &self.connection else { return Ok(Vec::new()) };
        let failed = Error::sqlite(&self.path);
        // One transaction, so that the parts of a summary are of the same moment.
        let transaction = connection.unchecked_transaction().map_err(&failed)?;
        recent(&transaction, limit, filter).map_err(&failed)
    }

    /// The trace with this id, or the only one whose id begins with it; `None` if there is none.
    ///
    /// # Errors
    /// When the text is not hexadecimal, when it begins several ids (see [`Error::candidates`]), or
    /// when the file cannot be read.
    pub fn trace(&self, id_or_prefix: &str) -> Result<Option<Trace>, Error> {
        let (least, greatest) = range(id_or_prefix)?;
        let Some(connection) = &self.connection else { return Ok(None) };
        let failed = Error::sqlite(&self.path);
        let transaction = connection.unchecked_transaction().map_err(&failed)?;
        let mut matches = transaction
            .prepare_cached("SELECT id, trace_id FROM traces WHERE trace_id BETWEEN ? AND ? ORDER BY trace_id LIMIT ?")
            .map_err(&failed)?;
        let found = matches
            .query_map(params![least, greatest, CANDIDATES_MAX as i64 + 1], |row| Ok((row.get(0)?, row.get(1)?)))
            .and_then(Iterator::collect::<rusqlite::Result<Vec<(i64, Vec<u8>)>>>)
            .map_err(&failed)?;
        match found.as_slice() {
            [] => Ok(None),
            [(id, trace_id)] => {
                Ok(Some(Trace { trace_id: decode::hex(trace_id), spans: self.spans(&transaction, *id)? }))
            }
            several => Err(Kind::Ambiguous {
                prefix: id_or_prefix.to_owned(),
                candidates: several.iter().take(CANDIDATES_MAX).map(|(_, id)| decode::hex(id)).collect(),
                more: several.len() > CANDIDATES_MAX,
            }
            .into()),
        }
    }

    fn spans(&self, transaction: &Transaction<'_>, trace: i64) -> Result<Vec<crate::Span>, Error> {
        let failed = Error::sqlite(&self.path);
        let mut select = transaction
            .prepare_cached("SELECT service, body FROM spans WHERE trace = ? ORDER BY start_ns, id")
            .map_err(&failed)?;
        let mut rows = select.query([trace]).map_err(&failed)?;
        let mut spans = Vec::new();
        while let Some(row) = rows.next().map_err(&failed)? {
            let service = row.get(0).map_err(&failed)?;
            let body: Vec<u8> = row.get(1).map_err(&failed)?;
            let proto =
                Proto::decode(body.as_slice()).map_err(|source| Kind::Span { path: self.path.clone(), source })?;
            spans.push(decode::span(proto, service));
        }
        Ok(spans)
    }
}

fn open(path: &Path) -> Result<Option<Connection>, Error> {
    let failed = Error::sqlite(path);
    // Writable, because a reader of a write-ahead log has to mark in shared memory what it reads;
    // `query_only` makes sure that it is no more than that.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(&failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(&failed)?;
    connection.pragma_update(None, "query_only", true).map_err(&failed)?;
    Ok(disk::check(&connection, path)?.then_some(connection))
}

fn recent(transaction: &Transaction<'_>, limit: usize, filter: &Filter) -> rusqlite::Result<Vec<TraceSummary>> {
    let mut traces = transaction.prepare_cached(
        "SELECT id, trace_id, start_ns, end_ns, spans, errors FROM traces
         WHERE (?1 IS NULL OR EXISTS (SELECT 1 FROM spans WHERE trace = traces.id AND service = ?1))
           AND errors >= ?2 AND end_ns - start_ns >= ?3
         ORDER BY start_ns DESC, id DESC LIMIT ?4",
    )?;
    let mut root = transaction.prepare_cached(
        "SELECT service, name FROM spans WHERE trace = ? ORDER BY is_root DESC, start_ns, id LIMIT 1",
    )?;
    let mut services = transaction
        .prepare_cached("SELECT service FROM spans WHERE trace = ? GROUP BY service ORDER BY min(start_ns), min(id)")?;
    let bounded = |number: u128| i64::try_from(number).unwrap_or(i64::MAX);
    let values = params![
        filter.service,
        i64::from(filter.errors_only),
        bounded(filter.duration_min.unwrap_or_default().as_nanos()),
        bounded(limit as u128),
    ];
    let number = |row: &rusqlite::Row<'_>, index: usize| row.get::<_, i64>(index).map(i64::unsigned_abs);
    let mut rows = traces.query(values)?;
    let mut summaries = Vec::new();
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let (root_service, root_name) = root.query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        summaries.push(TraceSummary {
            trace_id: decode::hex(&row.get::<_, Vec<u8>>(1)?),
            root_name,
            root_service,
            start_ns: number(row, 2)?,
            duration_ns: number(row, 3)? - number(row, 2)?,
            spans: number(row, 4)?,
            errors: number(row, 5)?,
            services: services.query_map([id], |row| row.get(0))?.collect::<Result<_, _>>()?,
        });
    }
    Ok(summaries)
}

/// The least and the greatest id that begin with a prefix.
fn range(prefix: &str) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let is_id = (1..=32).contains(&prefix.len()) && prefix.bytes().all(|byte| byte.is_ascii_hexdigit());
    let filled = |digit: &str| {
        let digits = format!("{prefix}{}", digit.repeat(32 - prefix.len()));
        (0..32).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16)).collect::<Result<Vec<u8>, _>>()
    };
    let invalid = || Error::from(Kind::NotAnId { text: prefix.to_owned() });
    if !is_id {
        return Err(invalid());
    }
    Ok((filled("0").map_err(|_| invalid())?, filled("f").map_err(|_| invalid())?))
}
