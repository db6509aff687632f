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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Subject {
    /// Seawall with everything on
    Seawall,
    /// grpc-go with go-grpc-middleware and otelgrpc
    GrpcGo,
    /// The same with a garbage collector that may use four times the memory
    GrpcGoTuned,
    /// go-zero's zrpc
    GoZero,
    /// Kratos
    Kratos,
    /// connect-go with otelconnect
    Connect,
}

impl Subject {
    /// Ours first.
    pub(crate) const ALL: [Self; 6] =
        [Self::Seawall, Self::GrpcGo, Self::GrpcGoTuned, Self::GoZero, Self::Kratos, Self::Connect];

    /// Whether it is set up as its documentation has it, and nothing more is done for its speed.
    pub(crate) fn is_as_documented(self) -> bool {
        self != Self::GrpcGoTuned
    }

    fn name(self) -> &'static str {
        match self {
            Self::Seawall => "seawall",
            Self::GrpcGo => "grpc-go",
            Self::GrpcGoTuned => "grpc-go-tuned",
            Self::GoZero => "go-zero",
            Self::Kratos => "kratos",
            Self::Connect => "connect",
        }
    }

    /// The program in Go.
    fn program(self) -> &'static str {
        match self {
            Self::GrpcGoTuned => Self::GrpcGo.name(),
            other => other.name(),
        }
    }

    /// By how much of what is in use the heap may grow before garbage is collected, in percent. Go's default is 100.
    fn gogc(self) -> &'static str {
        match self {
            Self::GrpcGoTuned => "400",
            _ => "100",
        }
    }

    /// Arguments by which its limiter is asked and refuses nobody, as ours is set. Those that go by the load of the
    /// processors would refuse calls at their defaults of 90 and 80 %, since a comparison uses all there is.
    fn limit(self) -> &'static [&'static str] {
        match self {
            Self::Seawall => &[],
            Self::GrpcGo | Self::GrpcGoTuned | Self::Connect => &["--calls-per-second", "1000000"],
            Self::GoZero | Self::Kratos => &["--cpu-threshold", "999"],
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
        let folder = bench_folder().join("target/peers/bin");
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
            peer => Program::new(self.folder.join(peer.program()))
                .args(["--collector", &collector.address.to_string(), "--sample-ratio", sampled.ratio()])
                .args(peer.limit())
                // As many threads that run Go as tokio has workers.
                .env("GOMAXPROCS", "1")
                .env("GOGC", peer.gogc())
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
