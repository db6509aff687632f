//! A SQLite connection, on a thread of its own.
//!
//! SQLite blocks, so it must not run on the runtime's threads. The thread takes jobs from a bounded
//! queue, one at a time, and answers each by a oneshot. An abandoned job is stopped by SQLite's
//! progress handler rather than by `sqlite3_interrupt`, which does nothing when it comes between the
//! queueing of a statement and its first step.
//!
//! A simulator has it on the calling task instead, because a thread answers in real time, which no
//! seed can replay.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::ffi;
use rusqlite::types::{ToSqlOutput, ValueRef};
use tokio::sync::{mpsc, oneshot};

use crate::driver::{Command, Output};
use crate::error::{Error, Kind};
use crate::value::{Row, Value};

/// A job, the rollback after it, and the next checkout's job; more only if the disk hangs.
const QUEUE_MAX: usize = 4;
/// How many steps of SQLite's machine pass between two looks at whether anybody still waits.
const STEPS_BETWEEN_CHECKS: i32 = 1000;
const CACHED_STATEMENTS_MAX: usize = 128;

/// The handle to SQLite. Dropping it closes the database.
pub(crate) struct Connection {
    place: Place,
    control: Arc<Control>,
    last_id: u64,
    busy_timeout: Duration,
}

/// Where SQLite runs.
enum Place {
    /// On a thread, which ends when nobody can send it jobs any more.
    Thread(mpsc::Sender<Job>),
    /// On the task that calls. Each job is delayed twice, before it is done and before its caller
    /// hears of it, so that a call can end or a process die on either side of a commit.
    Inline { connection: rusqlite::Connection, delay: fn() -> Duration, broken: bool },
}

/// What the thread has to know while it is inside SQLite.
struct Control {
    running_id: AtomicU64,
    abandoned_id: AtomicU64,
    busy_until: Mutex<Instant>,
}

impl Control {
    fn is_abandoned(&self) -> bool {
        self.abandoned_id.load(Ordering::Relaxed) >= self.running_id.load(Ordering::Relaxed)
    }

    fn start(&self, id: u64, busy_until: Instant) {
        *self.busy_until.lock().unwrap_or_else(PoisonError::into_inner) = busy_until;
        self.running_id.store(id, Ordering::Relaxed);
    }

    /// Waits a little for the lock that another connection holds; false when it has waited enough.
    fn wait(&self, attempts: i32) -> bool {
        const STEP_MAX: Duration = Duration::from_millis(20);
        let until = *self.busy_until.lock().unwrap_or_else(PoisonError::into_inner);
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || self.is_abandoned() {
            return false;
        }
        let step = Duration::from_millis(1 << attempts.clamp(0, 5));
        std::thread::park_timeout(step.min(STEP_MAX).min(left));
        true
    }
}

struct Job {
    id: u64,
    busy_until: Instant,
    work: Work,
}

enum Work {
    Run {
        sql: &'static str,
        params: Vec<Value>,
        reply: oneshot::Sender<Result<Output, Error>>,
    },
    Batch {
        sql: &'static str,
        reply: oneshot::Sender<Result<Output, Error>>,
    },
    /// After something was abandoned. Nobody waits for it; when it fails the thread ends.
    Clean,
}

impl Connection {
    /// Opens the file, which is made if there is none, with its folders: on a thread of its own, or
    /// with `inline` on the calling task.
    pub(crate) async fn open(
        path: &Path,
        busy_timeout: Duration,
        inline: Option<fn() -> Duration>,
    ) -> Result<Self, rusqlite::Error> {
        let control = Arc::new(Control {
            running_id: AtomicU64::new(1),
            abandoned_id: AtomicU64::new(0),
            busy_until: Mutex::new(Instant::now() + busy_timeout),
        });
        let place = match inline {
            Some(delay) => Place::Inline { connection: connect(path, &control)?, delay, broken: false },
            None => Place::Thread(start(path, &control).await?),
        };
        Ok(Self { place, control, last_id: 1, busy_timeout })
    }

    /// Whether nothing can be asked of it any more.
    pub(crate) fn is_closed(&self) -> bool {
        match &self.place {
            Place::Thread(jobs) => jobs.is_closed(),
            Place::Inline { broken, .. } => *broken,
        }
    }

    pub(crate) async fn run(&mut self, command: Command<'_>) -> Result<Output, Error> {
        let (id, busy_until) = self.next_job();
        match &mut self.place {
            Place::Thread(jobs) => {
                let (reply, answer) = oneshot::channel();
                let work = match command {
                    Command::Statement { sql, params } => Work::Run { sql, params: params.to_vec(), reply },
                    Command::Batch(sql) => Work::Batch { sql, reply },
                };
                jobs.send(Job { id, busy_until, work }).await.map_err(|_| Error::lost())?;
                answer.await.unwrap_or_else(|_| Err(Error::lost()))
            }
            Place::Inline { connection, delay, .. } => {
                tokio::time::sleep(delay()).await;
                // Waiting for a lock would hold up the task that could release it.
                self.control.start(id, Instant::now());
                let done = match command {
                    Command::Statement { sql, params } => run(connection, sql, params),
                    Command::Batch(sql) => batch(connection, sql),
                };
                tokio::time::sleep(delay()).await;
                done
            }
        }
    }

    /// Stops the job that runs or waits, if one does.
    pub(crate) fn abandon(&self) {
        self.control.abandoned_id.store(self.last_id, Ordering::Relaxed);
    }

    /// Has what is open rolled back before the next job; false when that cannot be done.
    pub(crate) fn clean(&mut self) -> bool {
        let (id, busy_until) = self.next_job();
        match &mut self.place {
            Place::Thread(jobs) => jobs.try_send(Job { id, busy_until, work: Work::Clean }).is_ok(),
            Place::Inline { connection, broken, .. } => {
                self.control.start(id, busy_until);
                *broken |= !clean(connection);
                !*broken
            }
        }
    }

    /// The id of the next job, and until when it may wait for a lock.
    fn next_job(&mut self) -> (u64, Instant) {
        self.last_id += 1;
        let left = seawall_deadline::Deadline::current().map(|deadline| deadline.remaining());
        let busy_timeout = left.map_or(self.busy_timeout, |left| left.min(self.busy_timeout));
        (self.last_id, Instant::now() + busy_timeout)
    }
}

/// Starts the thread, and waits until it has opened the file.
async fn start(path: &Path, control: &Arc<Control>) -> Result<mpsc::Sender<Job>, rusqlite::Error> {
    let (jobs, queue) = mpsc::channel(QUEUE_MAX);
    let (opened, is_open) = oneshot::channel();
    let path = path.to_owned();
    let control = Arc::clone(control);
    std::thread::Builder::new()
        .name("seawall-sqlite".to_owned())
        .spawn(move || match connect(&path, &control) {
            Ok(connection) => {
                // Nobody waits any more: then the queue is closed too, and the thread ends.
                let _ = opened.send(Ok(()));
                serve(&connection, queue, &control);
            }
            Err(error) => drop(opened.send(Err(error))),
        })
        .map_err(|error| failure(ffi::SQLITE_NOMEM, format!("cannot start a thread: {error}")))?;
    is_open.await.unwrap_or_else(|_| Err(failure(ffi::SQLITE_ABORT, "the thread ended".to_owned())))?;
    Ok(jobs)
}

fn failure(code: i32, text: String) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some(text))
}

fn connect(path: &Path, control: &Arc<Control>) -> Result<rusqlite::Connection, rusqlite::Error> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|error| failure(ffi::SQLITE_CANTOPEN, format!("{}: {error}", folder.display())))?;
    }
    let mut connection = rusqlite::Connection::open(path)?;
    let inside = Arc::clone(control);
    connection.busy_handler(Some(move |attempts| inside.wait(attempts)))?;
    let inside = Arc::clone(control);
    connection.progress_handler(STEPS_BETWEEN_CHECKS, Some(move || inside.is_abandoned()))?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS_MAX);
    write_ahead(&connection, control)?;
    // FULL syncs the log at each commit: what was acknowledged survives a loss of power.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    Ok(connection)
}

/// Has the file keep a log that is written ahead of it. Of several that do so at once, each reads what another
/// is to write, and SQLite says to all but one that the file is busy, without asking the handler for that.
fn write_ahead(connection: &rusqlite::Connection, control: &Control) -> Result<(), rusqlite::Error> {
    let mut attempts = 0;
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => {
                if !control.wait(attempts) {
                    return Err(error);
                }
                attempts += 1;
            }
            done => return done,
        }
    }
}

fn serve(connection: &rusqlite::Connection, mut queue: mpsc::Receiver<Job>, control: &Control) {
    while let Some(job) = queue.blocking_recv() {
        control.start(job.id, job.busy_until);
        match job.work {
            Work::Run { reply, .. } | Work::Batch { reply, .. } if reply.is_closed() => {}
            // A send fails when nobody waits any more; the connection is then cleaned before its next use.
            Work::Run { sql, params, reply } => {
                let _ = reply.send(run(connection, sql, &params));
            }
            Work::Batch { sql, reply } => {
                let _ = reply.send(batch(connection, sql));
            }
            Work::Clean => {
                if !clean(connection) {
                    return;
                }
            }
        }
    }
}

fn batch(connection: &rusqlite::Connection, sql: &'static str) -> Result<Output, Error> {
    connection.execute_batch(sql).map(|()| Output::default()).map_err(error)
}

/// Rolls back what is open; false when that fails.
fn clean(connection: &rusqlite::Connection) -> bool {
    connection.is_autocommit() || connection.execute_batch("ROLLBACK").is_ok()
}

fn run(connection: &rusqlite::Connection, sql: &'static str, params: &[Value]) -> Result<Output, Error> {
    let mut statement = connection.prepare_cached(sql).map_err(error)?;
    if statement.parameter_count() != params.len() {
        let expected = statement.parameter_count();
        return Err(Error::parameter_count(expected, params.len()));
    }
    for (index, value) in params.iter().enumerate() {
        // SQLite numbers $2 by the place where it first stands, so the name decides, not the number.
        let name = format!("${}", index + 1);
        let Some(place) = statement.parameter_index(&name).map_err(error)? else {
            return Err(Error::new(Kind::Statement, format!("the statement has no parameter {name}")));
        };
        statement.raw_bind_parameter(place, value).map_err(error)?;
    }
    let readonly = statement.readonly();
    let columns: Arc<[String]> = statement.column_names().map(str::to_owned).collect();
    let mut rows = Vec::new();
    let changes_before = connection.total_changes();
    let mut cursor = statement.raw_query();
    while let Some(row) = cursor.next().map_err(error)? {
        let values: Result<Vec<Value>, _> =
            (0..columns.len()).map(|i| row.get_ref(i).map_err(error).and_then(read)).collect();
        rows.push(Row::new(Arc::clone(&columns), values?));
    }
    let affected = if readonly {
        rows.len() as u64
    } else if connection.total_changes() == changes_before {
        0
    } else {
        connection.changes()
    };
    Ok(Output { rows, affected })
}

fn read(value: ValueRef<'_>) -> Result<Value, Error> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Int(value),
        ValueRef::Real(value) => Value::Float(value),
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text)
                .map_err(|source| Error::column("a text is not UTF-8".to_owned()).with_source(source))?;
            Value::Text(text.to_owned())
        }
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_owned()),
    })
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(value) => ValueRef::Integer(*value),
            Self::Float(value) => ValueRef::Real(*value),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// SQLite's messages name tables and columns, never values.
fn error(source: rusqlite::Error) -> Error {
    let code = source.sqlite_error().map(|error| (error.code, error.extended_code));
    let kind = match code {
        Some((_, ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID)) => {
            Kind::Unique
        }
        Some((rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked, _)) => Kind::Busy,
        _ => Kind::Statement,
    };
    Error::statement(kind).with_source(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control() -> Arc<Control> {
        Arc::new(Control {
            running_id: AtomicU64::new(1),
            abandoned_id: AtomicU64::new(0),
            busy_until: Mutex::new(Instant::now() + Duration::from_secs(60)),
        })
    }

    #[test]
    fn a_new_file_may_be_opened_by_many_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for file in 0..200 {
            let path = folder.path().join(format!("{file}.db"));
            let together = std::sync::Barrier::new(8);
            std::thread::scope(|scope| {
                let opening: Vec<_> = (0..8)
                    .map(|_| {
                        scope.spawn(|| {
                            together.wait();
                            connect(&path, &control()).map(drop)
                        })
                    })
                    .collect();
                for opened in opening {
                    opened.join().unwrap().unwrap();
                }
            });
        }
    }
}
