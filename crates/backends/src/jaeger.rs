//! Jaeger 2.x, all in one process with its traces in memory.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::process::{Process, Spec};
use crate::{NotFound, Options, StartError, find};

/// Plain `go install` refuses Jaeger, because its go.mod replaces modules; as a tool it builds, without
/// the pages of its user interface.
const INSTALL: &str = "get version 2 from https://www.jaegertracing.io/download/ and put `jaeger` on the PATH; \
    or build it with Go, in an empty folder (10 minutes): `go mod init tools && \
    go get -tool github.com/jaegertracing/jaeger/cmd/jaeger@v1.76.0 && go build -o jaeger github.com/jaegertracing/jaeger/cmd/jaeger`; \
    or run it by `docker run -p 16686:16686 -p 4317:4317 jaegertracing/jaeger:2.13.0`";

/// The program of Jaeger.
#[derive(Debug, Clone)]
pub struct Jaeger {
    program: PathBuf,
}

/// Where Jaeger listens, on 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub struct JaegerPorts {
    /// OTLP over gRPC; 4317 by convention.
    pub otlp: u16,
    /// The pages and the JSON API; 16686 by convention.
    pub query: u16,
    /// The query API over gRPC; 16685 by convention.
    pub query_grpc: u16,
}

impl Jaeger {
    /// Looks for `jaeger` on the PATH, then in the folders of `tools`.
    pub fn find(tools: &[PathBuf]) -> Result<Self, NotFound> {
        match find::program(&["jaeger"], tools) {
            Some(program) => Ok(Self { program }),
            None => Err(NotFound::new("Jaeger", INSTALL)),
        }
    }

    /// Starts Jaeger and waits until its API answers, for at most 30 s. Its configuration is written
    /// beside the log.
    pub async fn start(&self, ports: JaegerPorts, log: &Path, options: Options) -> Result<RunningJaeger, StartError> {
        let config = std::path::absolute(log.with_extension("yaml"))
            .map_err(|source| StartError::io("find the folder of", log, source))?;
        if let Some(folder) = config.parent() {
            std::fs::create_dir_all(folder).map_err(|source| StartError::io("make the folder", folder, source))?;
        }
        std::fs::write(&config, configuration(ports)).map_err(|source| StartError::io("write", &config, source))?;
        let argv = vec![self.program.clone().into(), "--config".into(), config.into()];
        // Asked to end, it takes more than four seconds; its traces are in memory, so there is nothing to save.
        let spec = Spec { name: "Jaeger", argv, user: None, stop_signal: Signal::SIGKILL, log, options };
        let mut process = Process::start(spec).await?;
        process.ready(async || answers(ports.query).await.unwrap_or(false)).await?;
        Ok(RunningJaeger { process, ports })
    }
}

/// All of it is given, because what Jaeger does without a configuration differs between versions.
fn configuration(ports: JaegerPorts) -> String {
    let JaegerPorts { otlp, query, query_grpc } = ports;
    format!(
        "\
service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [jaeger_storage_exporter]
  telemetry:
    metrics:
      level: none
extensions:
  jaeger_storage:
    backends:
      memory:
        memory:
          max_traces: 20000
  jaeger_query:
    storage:
      traces: memory
    http:
      endpoint: 127.0.0.1:{query}
    grpc:
      endpoint: 127.0.0.1:{query_grpc}
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 127.0.0.1:{otlp}
exporters:
  jaeger_storage_exporter:
    trace_storage: memory
"
    )
}

async fn answers(port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(b"GET /api/services HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n").await?;
    let mut start = [0; 12];
    stream.read_exact(&mut start).await?;
    Ok(&start == b"HTTP/1.1 200")
}

/// A Jaeger that we have started. Dropping it ends it without waiting for the end.
#[derive(Debug)]
pub struct RunningJaeger {
    process: Process,
    ports: JaegerPorts,
}

impl RunningJaeger {
    /// Where spans are sent: OTLP over gRPC.
    pub fn otlp_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.otlp)
    }

    /// The pages, and the API under `/api`.
    pub fn query_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.query)
    }

    /// The process id of the server.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Whether the server has ended without being asked to.
    pub fn has_ended(&mut self) -> bool {
        self.process.has_ended()
    }

    /// Ends the server at once: its traces are in memory, so there is nothing to save.
    pub async fn stop(self) {
        self.process.stop().await;
    }
}
