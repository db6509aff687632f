//! `state.json`: what runs, written by `up` at each change and read by the other commands.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Everything there is to know about a running `up`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The process id of `up`.
    pub(crate) pid: u32,
    pub(crate) phase: Phase,
    pub(crate) snapshot: Snapshot,
    /// Every process that `up` has started, so that a later one can end what this one left.
    pub(crate) processes: Vec<Process>,
    /// Commands to try, ready to be pasted.
    pub(crate) examples: Vec<String>,
}

/// How far `up` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// Building or starting.
    Starting,
    /// Every service has been serving once.
    Ready,
    /// Ending the services.
    Stopping,
}

/// What `ps --json` prints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) services: Vec<ServiceState>,
    /// Where traces are received.
    pub(crate) otlp: Option<String>,
    /// The address of Jaeger's page, or of the collector that traces are forwarded to.
    pub(crate) jaeger: Option<String>,
    /// Only with `--with redis`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) redis: Option<String>,
    /// Only with `--tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<Credentials>,
}

/// What to call services with that speak TLS: files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Credentials {
    /// The authority that they are checked by.
    pub(crate) ca: PathBuf,
    /// Whom they know you by.
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) identity: String,
}

/// One service as `ps` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServiceState {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) metrics: String,
    pub(crate) state: Condition,
    /// Of the running process.
    pub(crate) pid: Option<u32>,
    /// `sqlite` or `postgres`; nothing for a service without SQL.
    pub(crate) backend: Option<String>,
}

/// The condition of a service.
///
/// `Starting` → `Serving` ⇄ `NotServing`; a process that ends leads to `Restarting` → `Serving`, or
/// after [several restarts in vain](crate::supervisor::backoff) to `Failed`, which is still tried
/// again, seldom; `Stopped` is the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Condition {
    Starting,
    Serving,
    NotServing,
    Restarting,
    Failed,
    Stopped,
}

impl Condition {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::NotServing => "not_serving",
            Self::Restarting => "restarting",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// A process by its id and its program, because ids are used again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) program: PathBuf,
}

impl State {
    /// The state as last written, if there is one.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
        };
        let state = serde_json::from_str(&text)
            .with_context(|| format!("{} is not understood; delete it when nothing runs", path.display()))?;
        Ok(Some(state))
    }

    /// Writes the state so that a reader sees either the old or the new one.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let scratch = path.with_extension("json.new");
        let write = || -> std::io::Result<()> {
            let mut file = std::fs::File::create(&scratch)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.write_all(b"\n")?;
            std::fs::rename(&scratch, path)
        };
        write().with_context(|| format!("{} cannot be written", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let user = ServiceState {
            name: "user".into(),
            address: "127.0.0.1:50051".into(),
            metrics: "127.0.0.1:9464".into(),
            state: Condition::Serving,
            pid: Some(1),
            backend: Some("sqlite".into()),
        };
        Snapshot { services: vec![user], otlp: Some("127.0.0.1:4317".into()), jaeger: None, redis: None, tls: None }
    }

    #[test]
    fn ps_has_its_documented_shape() {
        let expected = r#"{"services":[{"name":"user","address":"127.0.0.1:50051","metrics":"127.0.0.1:9464","state":"serving","pid":1,"backend":"sqlite"}],"otlp":"127.0.0.1:4317","jaeger":null}"#;
        assert_eq!(serde_json::to_string(&snapshot()).unwrap(), expected);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        assert_eq!(State::read(&path).unwrap(), None);
        let processes = vec![Process { pid: 1, program: "/bin/user".into() }];
        let state = State { pid: 7, phase: Phase::Ready, snapshot: snapshot(), processes, examples: vec!["a".into()] };
        state.write(&path).unwrap();
        assert_eq!(State::read(&path).unwrap(), Some(state));
        assert_eq!(folder.path().read_dir().unwrap().count(), 1, "the scratch file is gone");
    }

    #[test]
    fn a_broken_file_is_an_error_that_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        std::fs::write(&path, "{").unwrap();
        assert!(State::read(&path).unwrap_err().to_string().contains("delete it"));
    }
}
