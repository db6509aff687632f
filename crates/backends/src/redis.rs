//! Redis or Valkey, with an append-only file: what was acknowledged survives the server's end.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::process::{Process, Spec};
use crate::{NotFound, Options, StartError, find};

const INSTALL: &str = "install it, for example with `apt-get install redis-server` or `brew install redis`, \
    or give the URL of a server";

/// The program of Redis or Valkey.
#[derive(Debug, Clone)]
pub struct Redis {
    program: PathBuf,
}

impl Redis {
    /// Looks for `valkey-server` and `redis-server`, on the PATH and where Homebrew puts them.
    pub fn find() -> Result<Self, NotFound> {
        let folders = ["/opt/homebrew/bin", "/usr/local/bin"].map(PathBuf::from);
        match find::program(&["valkey-server", "redis-server"], &folders) {
            Some(program) => Ok(Self { program }),
            None => Err(NotFound::new("Redis (or Valkey)", INSTALL)),
        }
    }

    /// Starts a server on `port` of 127.0.0.1 and waits until it answers, for at most 30 s.
    pub async fn start(
        &self,
        data_folder: &Path,
        port: u16,
        log: &Path,
        options: Options,
    ) -> Result<RunningRedis, StartError> {
        std::fs::create_dir_all(data_folder)
            .map_err(|source| StartError::io("make the folder", data_folder, source))?;
        let folder =
            data_folder.canonicalize().map_err(|source| StartError::io("find the folder", data_folder, source))?;
        let mut argv: Vec<OsString> = vec![self.program.clone().into(), "--dir".into(), folder.into()];
        let port_text = port.to_string();
        argv.extend(["--port", &port_text, "--bind", "127.0.0.1", "--daemonize", "no"].map(OsString::from));
        let durable: &[&str] = if options.not_durable {
            &["--appendonly", "no", "--save", ""]
        } else {
            &["--appendonly", "yes", "--appendfsync", "always"]
        };
        argv.extend(durable.iter().map(OsString::from));
        let spec = Spec { name: "Redis", argv, user: None, stop_signal: Signal::SIGTERM, log, options };
        let mut process = Process::start(spec).await?;
        process.ready(async || answers(port).await.unwrap_or(false)).await?;
        Ok(RunningRedis { process, port })
    }
}

/// While it reads its file it accepts connections and answers LOADING.
async fn answers(port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(b"PING\r\n").await?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).await?;
    Ok(&answer == b"+PONG\r\n")
}

/// A Redis server that we have started. Dropping it ends it without waiting for the end.
#[derive(Debug)]
pub struct RunningRedis {
    process: Process,
    port: u16,
}

impl RunningRedis {
    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The process id of the server.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Whether the server has ended without being asked to.
    pub fn has_ended(&mut self) -> bool {
        self.process.has_ended()
    }

    /// Ends the server; by force after 5 s.
    pub async fn stop(self) {
        self.process.stop().await;
    }
}
