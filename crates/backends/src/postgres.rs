//! PostgreSQL: `initdb` once, then the server on 127.0.0.1 without passwords and without a socket file.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio_postgres::NoTls;

use crate::process::{Process, Spec};
use crate::user::{self, User};
use crate::{NotFound, Options, StartError, find};

const INSTALL: &str = "install it, for example with `apt-get install postgresql` or `brew install postgresql`, \
    or give the URL of a server";

/// The programs of one version of PostgreSQL.
#[derive(Debug, Clone)]
pub struct Postgres {
    folder: PathBuf,
}

impl Postgres {
    /// Looks on the PATH, in `/usr/lib/postgresql` (the newest version first) and where Homebrew and
    /// Red Hat put it.
    pub fn find() -> Result<Self, NotFound> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        folders.extend(versions(Path::new("/usr/lib/postgresql"), ""));
        for homebrew in ["/opt/homebrew/opt", "/usr/local/opt", "/home/linuxbrew/.linuxbrew/opt"] {
            folders.extend(versions(Path::new(homebrew), "postgresql@"));
        }
        folders.extend(versions(Path::new("/usr"), "pgsql-"));
        // A link on the PATH may lead to one of the programs alone; the others stand beside its target.
        let real = folders.iter().filter_map(|folder| folder.join("postgres").canonicalize().ok());
        let folders: Vec<PathBuf> = real.filter_map(|file| file.parent().map(Path::to_owned)).collect();
        let complete =
            |folder: &&PathBuf| ["postgres", "initdb"].iter().all(|name| find::is_executable(&folder.join(name)));
        match folders.iter().find(complete) {
            Some(folder) => Ok(Self { folder: folder.clone() }),
            None => Err(NotFound::new("PostgreSQL", INSTALL)),
        }
    }

    /// Starts a server on `port` of 127.0.0.1 and waits until it answers, for at most 30 s. An empty
    /// or missing `data_folder` is filled first.
    ///
    /// When we are root the server runs as the user `postgres`; if that user cannot reach
    /// `data_folder`, a folder under `/var/tmp` is used, which a warning names.
    pub async fn start(
        &self,
        data_folder: &Path,
        port: u16,
        log: &Path,
        options: Options,
    ) -> Result<RunningPostgres, StartError> {
        let user = user::unprivileged()?;
        let absolute = std::path::absolute(data_folder)
            .map_err(|source| StartError::io("find the folder", data_folder, source))?;
        let data_folder = user.map_or_else(|| absolute.clone(), |user| user.reachable(&absolute));
        self.fill(&data_folder, user, options.not_durable).await?;
        let mut argv: Vec<OsString> =
            vec![self.folder.join("postgres").into(), "-D".into(), data_folder.clone().into()];
        let port_text = port.to_string();
        argv.extend(["-p", &port_text, "-h", "127.0.0.1"].map(OsString::from));
        // No socket file: its path would have to be short, and everything of ours uses TCP.
        let mut settings = vec!["unix_socket_directories="];
        if options.not_durable {
            settings.extend(["fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200"]);
        }
        for setting in settings {
            argv.extend([OsStr::new("-c").to_owned(), OsStr::new(setting).to_owned()]);
        }
        // SIGINT is its fast shutdown: clients are disconnected, nothing is lost.
        let spec = Spec { name: "PostgreSQL", argv, user, stop_signal: Signal::SIGINT, log, options };
        let mut process = Process::start(spec).await?;
        let url = url(port, "postgres");
        process.ready(async || tokio_postgres::connect(&url, NoTls).await.is_ok()).await?;
        Ok(RunningPostgres { process, port, data_folder })
    }

    async fn fill(&self, folder: &Path, user: Option<User>, not_durable: bool) -> Result<(), StartError> {
        if folder.join("PG_VERSION").exists() {
            return Ok(());
        }
        std::fs::create_dir_all(folder).map_err(|source| StartError::io("make the folder", folder, source))?;
        let mut command = tokio::process::Command::new(self.folder.join("initdb"));
        command.arg("-D").arg(folder);
        command.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]);
        if not_durable {
            command.arg("--no-sync");
        }
        if let Some(user) = user {
            user.own(folder)?;
            command.uid(user.uid).gid(user.gid);
        }
        command.current_dir("/").stdin(Stdio::null()).kill_on_drop(true);
        let cannot = |text: String| StartError::new(format!("cannot make a PostgreSQL data folder: {text}"));
        let limit = Duration::from_secs(120);
        match tokio::time::timeout(limit, command.output()).await {
            Ok(Ok(output)) if output.status.success() => Ok(()),
            Ok(Ok(output)) => Err(cannot(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
            Ok(Err(source)) => Err(cannot("initdb did not run".to_owned()).with_source(source)),
            Err(_) => Err(cannot(format!("initdb did not end within {limit:?}"))),
        }
    }
}

/// `root/PREFIX<version>/bin`, the highest version first.
fn versions(root: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = root.read_dir().into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, folder)| folder).collect()
}

fn url(port: u16, database: &str) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/{database}")
}

/// A PostgreSQL server that we have started. Dropping it ends it without waiting for the end.
#[derive(Debug)]
pub struct RunningPostgres {
    process: Process,
    port: u16,
    data_folder: PathBuf,
}

impl RunningPostgres {
    /// The URL of a database, which need not exist: see [`create_database`](Self::create_database).
    pub fn url(&self, database: &str) -> String {
        url(self.port, database)
    }

    /// Makes a database if there is none of that name.
    pub async fn create_database(&self, database: &str) -> Result<(), StartError> {
        create_database(&self.url("postgres"), database).await
    }

    /// Where the data are: not always where they were asked to be, see [`Postgres::start`].
    pub fn data_folder(&self) -> &Path {
        &self.data_folder
    }

    /// The process id of the server.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Whether the server has ended without being asked to.
    pub fn has_ended(&mut self) -> bool {
        self.process.has_ended()
    }

    /// Disconnects the clients and ends the server; by force after 5 s.
    pub async fn stop(self) {
        self.process.stop().await;
    }
}

/// Makes a database if there is none of that name on the server behind `url`, which must name a
/// database that exists. The name may have lower-case letters, digits and `_`.
pub async fn create_database(url: &str, database: &str) -> Result<(), StartError> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if database.is_empty() || !database.chars().all(is_plain) {
        return Err(StartError::new(format!("{database:?} is not a plain name for a database")));
    }
    let failed = |source| StartError::new(format!("cannot make the database {database}")).with_source(source);
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.map_err(failed)?;
    let connection = tokio::spawn(connection);
    let found = client.query("SELECT 1 FROM pg_database WHERE datname = $1", &[&database]).await.map_err(failed)?;
    if found.is_empty() {
        client.batch_execute(&format!("CREATE DATABASE {database}")).await.map_err(failed)?;
    }
    drop(client);
    // It ends when the client is gone; how it ended says nothing that matters now.
    let _ = connection.await;
    Ok(())
}
