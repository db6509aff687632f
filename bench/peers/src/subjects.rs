//! The servers that are compared, and what receives their spans.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};
use clap::ValueEnum;
use harness::{Process, Program, bench_folder};
use stack::{Collector, SERVER_CORE, Sampled};

/// A server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Subject {
    /// Seawall with everything on
    Seawall,
    /// grpc-go with go-grpc-middleware and otelgrpc
    GrpcGo,
    /// go-zero's zrpc
    GoZero,
    /// Kratos
    Kratos,
    /// connect-go with otelconnect
    Connect,
}

impl Subject {
    /// Ours first.
    pub(crate) const ALL: [Self; 5] = [Self::Seawall, Self::GrpcGo, Self::GoZero, Self::Kratos, Self::Connect];

    /// That of its program.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Seawall => "seawall",
            Self::GrpcGo => "grpc-go",
            Self::GoZero => "go-zero",
            Self::Kratos => "kratos",
            Self::Connect => "connect",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The programs, once they are built.
#[derive(Debug)]
pub(crate) struct Programs {
    stack: stack::Programs,
    /// Where those in Go lie.
    folder: PathBuf,
}

impl Programs {
    /// Builds all of them, which takes some minutes the first time.
    pub(crate) fn build() -> Result<Self> {
        let stack = stack::Programs::build([stack::Subject::Ours(Sampled::All)])?;
        let folder = bench_folder().join("target/peers");
        std::fs::create_dir_all(&folder)?;
        eprintln!("building the peers by go build");
        let mut go = Command::new(harness::tool("go", "golang-go")?);
        // One package at a time: the linkers of several programs want more memory than a small machine has.
        go.args(["build", "-p", "1", "-o"]).arg(&folder).arg("./cmd/...");
        let status = go.current_dir(bench_folder().join("peers/go")).stdin(Stdio::null()).status()?;
        if !status.success() {
            bail!("the peers cannot be built; they need Go 1.26");
        }
        Ok(Self { stack, folder })
    }

    /// Starts one, and what its spans are counted by.
    pub(crate) fn start(&self, subject: Subject, sampled: Sampled) -> Result<Server> {
        let collector = self.stack.collector()?;
        let program = match subject {
            Subject::Seawall => self.stack.server(stack::Subject::Ours(sampled), collector.address)?,
            peer => Program::new(self.folder.join(peer.name()))
                .args(["--collector", &collector.address.to_string(), "--sample-ratio", sampled.ratio()])
                // As many threads that run Go as tokio has workers.
                .env("GOMAXPROCS", "1")
                .core(SERVER_CORE),
        };
        let (process, address) = program.serve()?;
        Ok(Server { process, address, collector })
    }
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    pub(crate) collector: Collector,
}
