//! The file as its writer sees it: schema, insertion, and the deletion that keeps it within bounds.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message as _;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::Bounds;
use crate::decode;
use crate::error::{Error, Kind, chain};

/// Marks a file as ours ("swtr"), so that a wrong path never costs anybody a database.
pub(super) const APPLICATION_ID: i32 = 0x7377_7472;
/// Changes with the schema. Traces are not worth a migration: an older file is moved aside.
pub(super) const VERSION: i32 = 1;
/// How long to wait for another process that writes.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(1);
/// What a deletion leaves of the bounds, so that not every batch brings one about.
const KEPT_PERCENT: u64 = 95;
/// Traces and spans that one deletion takes at most (or a single trace), to keep its log short.
const EVICTED_TRACES_MAX: usize = 500;
const EVICTED_SPANS_MAX: u64 = 5_000;

/// `traces.id` is the order of arrival. The span itself is kept as it came, in protobuf, so that
/// nothing is lost that a later version could show; the columns before it are what lists need.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS traces (
  id INTEGER PRIMARY KEY,
  trace_id BLOB NOT NULL UNIQUE,
  start_ns INTEGER NOT NULL,
  end_ns INTEGER NOT NULL,
  spans INTEGER NOT NULL,
  errors INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS traces_by_start ON traces (start_ns);
CREATE TABLE IF NOT EXISTS spans (
  id INTEGER PRIMARY KEY,
  trace INTEGER NOT NULL,
  span_id BLOB NOT NULL,
  is_root INTEGER NOT NULL,
  start_ns INTEGER NOT NULL,
  service TEXT NOT NULL,
  name TEXT NOT NULL,
  body BLOB NOT NULL,
  UNIQUE (trace, span_id)
) STRICT;
";

/// A span as it is inserted.
pub(super) struct Row {
    trace_id: Vec<u8>,
    span_id: Vec<u8>,
    is_root: bool,
    is_error: bool,
    start_ns: i64,
    end_ns: i64,
    service: std::sync::Arc<str>,
    name: String,
    body: Vec<u8>,
}

impl Row {
    pub(super) fn all(batch: Vec<ResourceSpans>) -> Vec<Self> {
        let mut rows = Vec::new();
        for resource in batch {
            let service: std::sync::Arc<str> = decode::service_name(resource.resource.as_ref()).into();
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                // The year 2262 is the last that SQLite's integers hold.
                let ns = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
                rows.push(Self {
                    is_root: span.parent_span_id.iter().all(|byte| *byte == 0),
                    is_error: decode::is_error(&span),
                    start_ns: ns(span.start_time_unix_nano),
                    end_ns: ns(span.end_time_unix_nano.max(span.start_time_unix_nano)),
                    service: std::sync::Arc::clone(&service),
                    body: span.encode_to_vec(),
                    name: span.name,
                    trace_id: span.trace_id,
                    span_id: span.span_id,
                });
            }
        }
        rows
    }
}

/// The open file.
pub(super) struct Disk {
    pub(super) connection: Connection,
    path: PathBuf,
    bounds: Bounds,
    /// All spans in the file, as far as this process knows.
    spans: u64,
}

impl Disk {
    /// Opens or creates the file; one that is of no use is moved aside first.
    pub(super) fn open(path: &Path, bounds: Bounds) -> Result<Self, Error> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|source| Kind::File { path: folder.to_owned(), source })?;
        }
        match Self::try_open(path, bounds) {
            Err(error) if error.is_unusable() => {
                Self::move_aside(path, &error)?;
                Self::try_open(path, bounds)
            }
            opened => opened,
        }
    }

    fn try_open(path: &Path, bounds: Bounds) -> Result<Self, Error> {
        let failed = Error::sqlite(path);
        let mut connection = Connection::open(path).map_err(&failed)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(&failed)?;
        if !check(&connection, path)? {
            create(&mut connection).map_err(&failed)?;
        }
        // A write that the machine's power loss takes back is no loss for a trace; a process that is
        // killed loses nothing.
        connection
            .execute_batch(
                "PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 4194304; PRAGMA temp_store = MEMORY",
            )
            .map_err(&failed)?;
        let mut disk = Self { connection, path: path.to_owned(), bounds, spans: 0 };
        disk.spans = disk.count().map_err(&failed)?;
        Ok(disk)
    }

    /// Renames the file and its log to names that SQLite still recognises as belonging together.
    /// An earlier one is replaced: two would be a table without a bound.
    pub(super) fn move_aside(path: &Path, reason: &Error) -> Result<(), Error> {
        let suffixed = |suffix: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        let kept = suffixed(".corrupt");
        for (from, to) in [("-wal", ".corrupt-wal"), ("-shm", ".corrupt-shm"), ("", ".corrupt")] {
            match std::fs::rename(suffixed(from), suffixed(to)) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Kind::File { path: path.to_owned(), source }.into());
                }
                _ => {}
            }
        }
        tracing::warn!(path = %path.display(), kept = %kept.display(), cause = chain(reason), "the file of traces was of no use and has been moved aside");
        Ok(())
    }

    /// Inserts all rows or none. A span that is there already is left as it is: senders repeat
    /// themselves when an answer was lost.
    pub(super) fn insert(&mut self, rows: &[Row]) -> Result<(), Error> {
        let failed = Error::sqlite(&self.path);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let inserted = insert(&transaction, rows).map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        self.spans += inserted;
        Ok(())
    }

    /// Deletes the traces that arrived first until the bounds hold; how many spans that took.
    pub(super) fn evict(&mut self) -> Result<u64, Error> {
        self.try_evict().map_err(Error::sqlite(&self.path))
    }

    fn try_evict(&mut self) -> rusqlite::Result<u64> {
        let Bounds { spans_max, bytes_max } = self.bounds;
        if self.spans <= spans_max && self.bytes_used()? <= bytes_max {
            return Ok(0);
        }
        let before = self.count()?;
        self.spans = before;
        let kept = |max: u64| (max * KEPT_PERCENT).div_ceil(100);
        while self.spans > kept(spans_max) || self.bytes_used()? > kept(bytes_max) {
            let over = self.spans.saturating_sub(kept(spans_max));
            let most = if over == 0 { EVICTED_SPANS_MAX } else { over.min(EVICTED_SPANS_MAX) };
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let deleted = delete_oldest(&transaction, most)?;
            transaction.commit()?;
            let Some(deleted) = deleted else { break };
            self.spans = self.spans.saturating_sub(deleted);
        }
        // Free pages are used again, so the file is only made smaller when it is too large.
        if self.pragma("page_count")? * self.pragma("page_size")? > bytes_max {
            let mut vacuum = self.connection.prepare("PRAGMA incremental_vacuum")?;
            let mut rows = vacuum.query([])?;
            while rows.next()?.is_some() {}
        }
        Ok(before - self.spans)
    }

    fn count(&self) -> rusqlite::Result<u64> {
        let spans: i64 =
            self.connection.query_row("SELECT coalesce(sum(spans), 0) FROM traces", [], |row| row.get(0))?;
        Ok(spans.unsigned_abs())
    }

    fn bytes_used(&self) -> rusqlite::Result<u64> {
        Ok((self.pragma("page_count")? - self.pragma("freelist_count")?) * self.pragma("page_size")?)
    }

    fn pragma(&self, name: &str) -> rusqlite::Result<u64> {
        self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
    }
}

/// Whether the file has our schema; `false` when it is empty.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<bool, Error> {
    let failed = Error::sqlite(path);
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0)).map_err(&failed)?;
    if tables == 0 {
        return Ok(false);
    }
    if number("application_id").map_err(&failed)? != APPLICATION_ID {
        return Err(Kind::Foreign { path: path.to_owned() }.into());
    }
    if number("user_version").map_err(&failed)? != VERSION {
        return Err(Kind::Version { path: path.to_owned() }.into());
    }
    Ok(true)
}

/// The order matters: SQLite takes `auto_vacuum` only before the first page is written.
fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(SCHEMA)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

fn insert(transaction: &Transaction<'_>, rows: &[Row]) -> rusqlite::Result<u64> {
    struct Sums {
        id: i64,
        start_ns: i64,
        end_ns: i64,
        spans: i64,
        errors: i64,
    }
    let mut traces: HashMap<&[u8], Sums> = HashMap::new();
    let mut find = transaction.prepare_cached("SELECT id FROM traces WHERE trace_id = ?")?;
    let mut add = transaction.prepare_cached(
        "INSERT INTO traces (trace_id, start_ns, end_ns, spans, errors) VALUES (?, ?, ?, 0, 0) RETURNING id",
    )?;
    let mut insert = transaction.prepare_cached(
        "INSERT OR IGNORE INTO spans (trace, span_id, is_root, start_ns, service, name, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?;
    let mut update = transaction.prepare_cached(
        "UPDATE traces SET start_ns = min(start_ns, ?), end_ns = max(end_ns, ?), spans = spans + ?, errors = errors + ? WHERE id = ?",
    )?;
    for row in rows {
        let sums = match traces.entry(&row.trace_id) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let known = find.query_row([&row.trace_id], |found| found.get(0)).optional()?;
                let id = match known {
                    Some(id) => id,
                    None => add.query_row(params![row.trace_id, row.start_ns, row.end_ns], |added| added.get(0))?,
                };
                entry.insert(Sums { id, start_ns: row.start_ns, end_ns: row.end_ns, spans: 0, errors: 0 })
            }
        };
        let values = params![sums.id, row.span_id, row.is_root, row.start_ns, &*row.service, row.name, row.body];
        if insert.execute(values)? == 1 {
            sums.spans += 1;
            sums.errors += i64::from(row.is_error);
            sums.start_ns = sums.start_ns.min(row.start_ns);
            sums.end_ns = sums.end_ns.max(row.end_ns);
        }
    }
    for sums in traces.values() {
        update.execute(params![sums.start_ns, sums.end_ns, sums.spans, sums.errors, sums.id])?;
    }
    Ok(traces.values().map(|sums| sums.spans.unsigned_abs()).sum())
}

/// Deletes whole traces, at least one; how many spans they had, or nothing if there is no trace.
fn delete_oldest(transaction: &Transaction<'_>, spans_most: u64) -> rusqlite::Result<Option<u64>> {
    let mut oldest = transaction.prepare_cached("SELECT id, spans FROM traces ORDER BY id LIMIT ?")?;
    let mut found = oldest.query([EVICTED_TRACES_MAX as i64])?;
    let (mut last, mut spans) = (None, 0);
    while spans < spans_most
        && let Some(row) = found.next()?
    {
        last = Some(row.get::<_, i64>(0)?);
        spans += row.get::<_, i64>(1)?.unsigned_abs();
    }
    let Some(last) = last else { return Ok(None) };
    transaction.execute("DELETE FROM spans WHERE trace <= ?", [last])?;
    transaction.execute("DELETE FROM traces WHERE id <= ?", [last])?;
    Ok(Some(spans))
}
