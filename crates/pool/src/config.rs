//! The settings of a pool, and which database its URL names.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use seawall_config::{ExposeSecret as _, SecretString, Section};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{Backend, Error, tls};

/// How the URL of a database begins.
const SQLITE: &str = "sqlite://";
const POSTGRES: [&str; 2] = ["postgres://", "postgresql://"];

/// The settings of a pool: the section `sql`.
#[derive(Debug, Clone)]
pub struct Config {
    url: SecretString,
    pub(crate) size_max: u32,
    pub(crate) checkout_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) busy_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) lifetime_max: Duration,
    pub(crate) leak_timeout: Duration,
    pub(crate) migrate: bool,
    pub(crate) migrate_timeout: Duration,
    pub(crate) inline_sqlite: Option<fn() -> Duration>,
}

impl Config {
    /// Reads the section. `default_url` is what a service uses that was told nothing.
    pub fn read(section: &mut Section<'_>, default_url: &'static str) -> Self {
        let positive = |timeout: &Duration| !timeout.is_zero();
        let more = "more than 0s";
        let url: SecretString = section.checked(
            "url",
            default_url,
            "the database: sqlite:///path/file.db or postgres://user@host/database?sslmode=verify-full",
            "a URL that begins with sqlite://, postgres:// or postgresql://",
            |url: &SecretString| [SQLITE].iter().chain(&POSTGRES).any(|scheme| url.expose_secret().starts_with(scheme)),
        );
        if url.expose_secret().starts_with(SQLITE) {
            section.development_only("url", "postgres://…, since a file is of one machine and one replica");
        } else if tls::of_url(url.expose_secret()).is_err() {
            section.refuse("url", "postgres://…?sslmode=verify-full, with or without sslrootcert, or ?sslmode=disable");
        } else if !tls::is_said(url.expose_secret()) {
            section.development_only(
                "url",
                "postgres://…?sslmode=verify-full, or ?sslmode=disable where nobody else can listen",
            );
        }
        Self {
            url,
            size_max: section
                .checked("size_max", "10", "how many connections at most", "1 to 1000", |n| (1..=1000).contains(n)),
            checkout_timeout: section.checked(
                "checkout_timeout",
                "2s",
                "how long a call may wait for a free connection, if its deadline is not sooner",
                more,
                positive,
            ),
            connect_timeout: section.checked("connect_timeout", "5s", "how long connecting may take", more, positive),
            busy_timeout: section.checked(
                "busy_timeout",
                "5s",
                "SQLite: how long a write may wait for another write to end, if the deadline is not sooner",
                more,
                positive,
            ),
            idle_timeout: section.checked(
                "idle_timeout",
                "60s",
                "after how long an unused connection is closed",
                more,
                positive,
            ),
            lifetime_max: section.checked(
                "lifetime_max",
                "30min",
                "after how long a connection is replaced, less a random part of up to a fifth",
                more,
                positive,
            ),
            leak_timeout: section.checked(
                "leak_timeout",
                "5s",
                "a connection held longer than this is logged with the place that took it",
                more,
                positive,
            ),
            migrate: section.get(
                "migrate",
                "true",
                "whether this process brings the tables up to date when it starts; otherwise it waits until another has, \
                 as with --migrate",
            ),
            migrate_timeout: section.checked(
                "migrate_timeout",
                "60s",
                "how long that may take, the one or the other",
                more,
                positive,
            ),
            inline_sqlite: None,
        }
    }

    /// The defaults, for tests and tools.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: SecretString::from(url.into()),
            size_max: 10,
            checkout_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(5),
            busy_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(60),
            lifetime_max: Duration::from_secs(30 * 60),
            leak_timeout: Duration::from_secs(5),
            migrate: true,
            migrate_timeout: Duration::from_secs(60),
            inline_sqlite: None,
        }
    }

    /// With at most `size_max` connections.
    ///
    /// # Panics
    /// If it is zero.
    #[must_use]
    pub fn with_size_max(mut self, size_max: u32) -> Self {
        assert!(size_max > 0, "a pool needs room for a connection");
        self.size_max = size_max;
        self
    }

    /// With another bound on the wait for a free connection.
    #[must_use]
    pub fn with_checkout_timeout(mut self, checkout_timeout: Duration) -> Self {
        self.checkout_timeout = checkout_timeout;
        self
    }

    /// With another bound on how long a connection may be held before it is logged.
    #[must_use]
    pub fn with_leak_timeout(mut self, leak_timeout: Duration) -> Self {
        self.leak_timeout = leak_timeout;
        self
    }

    /// Waiting for at most `timeout` until another process has brought the tables up to date, rather
    /// than doing so.
    #[must_use]
    pub fn without_migrating(mut self, timeout: Duration) -> Self {
        (self.migrate, self.migrate_timeout) = (false, timeout);
        self
    }

    /// With SQLite on the task that calls rather than on a thread of its own. Each job takes twice what
    /// `delay` says, by the runtime's clock.
    ///
    /// For simulations alone, whose clock a thread does not keep: SQLite blocks the caller's thread
    /// while it works, and a lock that another connection holds is not waited for.
    #[must_use]
    pub fn with_inline_sqlite(mut self, delay: fn() -> Duration) -> Self {
        self.inline_sqlite = Some(delay);
        self
    }

    pub(crate) fn target(&self) -> Result<Target, Error> {
        let url = self.url.expose_secret();
        if let Some(path) = url.strip_prefix(SQLITE) {
            return sqlite(path);
        }
        if POSTGRES.iter().any(|scheme| url.starts_with(scheme)) {
            return postgres(url, self.connect_timeout);
        }
        Err(Error::settings("sql.url must begin with sqlite:// or postgres://"))
    }
}

/// A database, as it is connected to.
#[derive(Clone)]
pub(crate) enum Target {
    Sqlite(PathBuf),
    Postgres(Box<Postgres>),
}

/// A server, and how it proves who it is.
#[derive(Clone)]
pub(crate) struct Postgres {
    pub(crate) config: tokio_postgres::Config,
    pub(crate) tls: MakeRustlsConnect,
}

impl Target {
    pub(crate) fn backend(&self) -> Backend {
        match self {
            Self::Sqlite(_) => Backend::Sqlite,
            Self::Postgres(_) => Backend::Postgres,
        }
    }
}

/// Without user and password.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Postgres(postgres) => {
                let config = &postgres.config;
                let host = match config.get_hosts().first() {
                    Some(Host::Tcp(name)) => name.clone(),
                    #[cfg(unix)]
                    Some(Host::Unix(path)) => path.display().to_string(),
                    None => "localhost".to_owned(),
                };
                let port = config.get_ports().first().copied().unwrap_or(5432);
                let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
                write!(f, "postgres://{host}:{port}/{database}")
            }
        }
    }
}

fn sqlite(path: &str) -> Result<Target, Error> {
    if path.is_empty() || path.ends_with('/') || path == ":memory:" {
        return Err(Error::settings("sql.url must name a file, such as sqlite:///var/lib/shop/user.db"));
    }
    if path.contains('?') {
        return Err(Error::settings("sql.url: options after ? are not supported for SQLite"));
    }
    Ok(Target::Sqlite(path.into()))
}

/// The driver's own error is left out: it may quote a part of the URL, and the password is in there.
fn postgres(url: &str, connect_timeout: Duration) -> Result<Target, Error> {
    let (url, authorities) = tls::of_url(url)?;
    let mut config: tokio_postgres::Config = url.parse().map_err(|_| {
        Error::settings(
            "sql.url cannot be read; it must look like postgres://user:password@host:5432/database, \
             with %XX for any of :/?#@ in the password",
        )
    })?;
    if config.get_application_name().is_none() {
        config.application_name("seawall");
    }
    let mode = if authorities.is_some() { SslMode::Require } else { SslMode::Disable };
    config.ssl_mode(mode).connect_timeout(connect_timeout).keepalives_idle(Duration::from_secs(60));
    Ok(Target::Postgres(Box::new(Postgres { config, tls: tls::connector(authorities.as_ref())? })))
}

#[cfg(test)]
mod tests {
    use seawall_config::Reader;

    use super::*;

    #[test]
    fn tls_is_asked_for_in_a_way_that_is_known() {
        for asked in ["sslmode=prefer", "sslmode=disable&sslrootcert=/ca.pem"] {
            let url = format!("postgres://me:topsecret@db/shop?{asked}");
            let mut reader = Reader::new("", "", [("SEAWALL_SQL_URL", url)]);
            Config::read(&mut reader.section("sql"), "sqlite://shop.db");
            let said = reader.finish().map_err(|mistakes| mistakes.to_string()).unwrap_err();
            assert!(said.contains("sslmode=verify-full") && !said.contains("topsecret"), "{said}");
        }
    }

    #[test]
    fn a_file_is_for_development_and_so_is_a_server_without_a_word_of_tls() {
        let read = |url: &str| {
            let mut reader = Reader::new("", "", [("SEAWALL_SQL_URL", url)]).for_production();
            Config::read(&mut reader.section("sql"), "sqlite://shop.db");
            reader.finish().map_err(|mistakes| mistakes.to_string())
        };
        let said = read("sqlite:///data/shop.db").unwrap_err();
        assert!(said.contains("sql.url (SEAWALL_SQL_URL): must be postgres://"), "{said}");
        let said = read("postgres://db/shop").unwrap_err();
        assert!(said.contains("must be postgres://…?sslmode=verify-full"), "{said}");
        for said in ["disable", "verify-full"] {
            assert_eq!(read(&format!("postgres://db/shop?sslmode={said}")), Ok(()));
        }
    }
}
