//! A PostgreSQL connection.
//!
//! A statement that is abandoned is cancelled at the server by a request on a connection of its own,
//! and the connection that it ran on is closed: a cancellation may arrive late, and must not hit the
//! next caller's statement.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::TryStreamExt as _;
use tokio::sync::Semaphore;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::Postgres;
use crate::driver::{Command, Output};
use crate::error::{Error, Kind};
use crate::value::{Row, Value};

const CACHED_STATEMENTS_MAX: usize = 128;
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);
/// How many cancellations may be under way at once. When there are more, the server finds out by
/// itself that the connection is gone (`client_connection_check_interval`, PostgreSQL 14 or later).
const CANCELS_MAX: usize = 32;
static CANCELS: Semaphore = Semaphore::const_new(CANCELS_MAX);

pub(crate) struct Connection {
    client: Client,
    /// Of the server, which a cancellation connects to as well.
    tls: MakeRustlsConnect,
    statements: HashMap<&'static str, Statement>,
    driver: tokio::task::JoinHandle<()>,
}

impl Connection {
    pub(crate) async fn open(Postgres { config, tls }: &Postgres) -> Result<Self, Cause> {
        let (client, connection) = config.connect(tls.clone()).await.map_err(Cause::from)?;
        // It ends when the client is dropped or the socket closes.
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %Cause::from(error), "a connection to PostgreSQL ended");
            }
        });
        let opened = Self { client, tls: tls.clone(), statements: HashMap::new(), driver };
        opened.client.batch_execute(SESSION).await.map_err(Cause::from)?;
        Ok(opened)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub(crate) async fn run(&mut self, command: Command<'_>) -> Result<Output, Error> {
        match command {
            Command::Statement { sql, params } => self.statement(sql, params).await,
            Command::Batch(sql) => self.client.batch_execute(sql).await.map(|()| Output::default()).map_err(error),
        }
    }

    /// Asks the server to stop what it is doing, and closes the connection.
    pub(crate) fn abandon(&self) {
        self.driver.abort();
        let (token, tls) = (self.client.cancel_token(), self.tls.clone());
        let (Ok(permit), Ok(runtime)) = (CANCELS.try_acquire(), tokio::runtime::Handle::try_current()) else { return };
        runtime.spawn(async move {
            let _permit = permit;
            match tokio::time::timeout(CANCEL_TIMEOUT, token.cancel_query(tls)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(error = %Cause::from(error), "a statement could not be cancelled"),
                Err(_) => tracing::debug!("a statement could not be cancelled in time"),
            }
        });
    }

    async fn statement(&mut self, sql: &'static str, params: &[Value]) -> Result<Output, Error> {
        let statement = match self.statements.get(sql) {
            Some(statement) => statement.clone(),
            None => {
                let statement = self.client.prepare(sql).await.map_err(error)?;
                if self.statements.len() < CACHED_STATEMENTS_MAX {
                    self.statements.insert(sql, statement.clone());
                }
                statement
            }
        };
        if statement.params().len() != params.len() {
            return Err(Error::parameter_count(statement.params().len(), params.len()));
        }
        let done = self.rows(&statement, params).await;
        if done.is_err() {
            // A plan may have become invalid, because a migration changed the table.
            self.statements.remove(sql);
        }
        done
    }

    async fn rows(&self, statement: &Statement, params: &[Value]) -> Result<Output, Error> {
        let columns: Arc<[String]> = statement.columns().iter().map(|column| column.name().to_owned()).collect();
        let mut stream = std::pin::pin!(self.client.query_raw(statement, params).await.map_err(error)?);
        let mut rows = Vec::new();
        while let Some(row) = stream.try_next().await.map_err(error)? {
            let values: Result<Vec<Value>, _> = (0..columns.len()).map(|index| row.try_get(index)).collect();
            rows.push(Row::new(Arc::clone(&columns), values.map_err(error)?));
        }
        Ok(Output { rows, affected: stream.rows_affected().unwrap_or(0) })
    }
}

/// Lets the server notice after a while that the client of a long statement is gone, where it can.
const SESSION: &str = "SELECT set_config(name, '20s', false) FROM pg_settings \
    WHERE name = 'client_connection_check_interval'";

/// A failure of the driver without the values that the server quotes in its details.
#[derive(Debug)]
pub(crate) struct Cause {
    text: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<tokio_postgres::Error> for Cause {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(database) = error.as_db_error() else {
            let text = if is_untrusted(&error) {
                "the server is not trusted: its certificate must be for the host of sql.url, and from an authority \
                 of the system or of sslrootcert"
                    .to_owned()
            } else {
                error.to_string()
            };
            return Self { text, source: error.into_source() };
        };
        let code = database.code().code();
        // Class 22 is about data, and its messages quote them: invalid input syntax for "…".
        let text = if code.starts_with("22") {
            format!("PostgreSQL {code}: a value is not of the type or in the range of its column")
        } else {
            format!("PostgreSQL {code}: {}", database.message())
        };
        Self { text, source: None }
    }
}

fn error(source: tokio_postgres::Error) -> Error {
    let lost = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::IDLE_SESSION_TIMEOUT,
    ];
    // The server has undone the transaction for the sake of another one: it may be tried again.
    let conflict = [SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE, SqlState::LOCK_NOT_AVAILABLE];
    let error = match source.code() {
        Some(code) if conflict.contains(code) => Error::statement(Kind::Busy),
        Some(code) if *code == SqlState::UNIQUE_VIOLATION => Error::statement(Kind::Unique),
        Some(code) if lost.contains(code) => Error::lost(),
        None if source.is_closed() || is_io(&source) => Error::lost(),
        _ => Error::statement(Kind::Statement),
    };
    error.with_source(Cause::from(source))
}

/// Whether the handshake failed because of the server's certificate.
fn is_untrusted(error: &tokio_postgres::Error) -> bool {
    let io = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    let tls = io.and_then(std::io::Error::get_ref).and_then(|inner| inner.downcast_ref());
    matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    error.source().is_some_and(|source| source.is::<std::io::Error>())
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        let mismatch = || Err(format!("a {} was given for a parameter of type {ty}", self.kind()).into());
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(value) => match *ty {
                Type::INT8 => value.to_sql(ty, out),
                Type::INT4 => i32::try_from(*value)?.to_sql(ty, out),
                Type::INT2 => i16::try_from(*value)?.to_sql(ty, out),
                _ => mismatch(),
            },
            Self::Float(value) if *ty == Type::FLOAT8 => value.to_sql(ty, out),
            Self::Text(text) if <&str as ToSql>::accepts(ty) => text.as_str().to_sql(ty, out),
            Self::Bytes(bytes) if *ty == Type::BYTEA => bytes.as_slice().to_sql(ty, out),
            Self::Float(_) | Self::Text(_) | Self::Bytes(_) => mismatch(),
        }
    }

    /// Whether a value fits depends on the value: see `to_sql`.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(match *ty {
            Type::INT8 => Self::Int(i64::from_sql(ty, raw)?),
            Type::INT4 => Self::Int(i32::from_sql(ty, raw)?.into()),
            Type::INT2 => Self::Int(i16::from_sql(ty, raw)?.into()),
            Type::BOOL => Self::Int(bool::from_sql(ty, raw)?.into()),
            Type::FLOAT8 => Self::Float(f64::from_sql(ty, raw)?),
            Type::FLOAT4 => Self::Float(f32::from_sql(ty, raw)?.into()),
            Type::BYTEA => Self::Bytes(raw.to_vec()),
            _ if <&str as FromSql>::accepts(ty) => Self::Text(<&str>::from_sql(ty, raw)?.to_owned()),
            _ => {
                let text = format!("a column is {ty}; cast it to BIGINT, TEXT, BYTEA or DOUBLE PRECISION");
                return Err(text.into());
            }
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self::Null)
    }

    /// Every type, so that `from_sql` can say what to do about one that is not supported.
    fn accepts(_: &Type) -> bool {
        true
    }
}
