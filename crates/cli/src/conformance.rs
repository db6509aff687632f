//! `cargo seawall conformance`: clients and servers that nobody here wrote, against Seawall's.
//!
//! Each kind of peer is one file here: how it is installed, and what it is run with. `cases.rs` has the
//! cases of gRPC's interop tests, which the peers that have a client or a server of them share; `lab.rs`
//! is what all of them need (our two programs, ports, with `certificates.rs` for TLS), `install.rs` gets what is not on the machine,
//! `process.rs` runs it and `table.rs` shows what came of it.

mod cases;
mod certificates;
mod envoy;
mod ghz;
mod grpc_go;
mod grpc_js;
mod grpcio;
mod grpcurl;
mod h2spec;
mod install;
mod lab;
mod negative;
mod process;
mod ruby;
mod table;

use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;

use crate::terminal;
use crate::workspace::Workspace;

use lab::Lab;
use table::{Row, Rows};

/// Tries Seawall's server and client with those of other implementations.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo seawall conformance                       all peers
  cargo seawall conformance --peer grpc-go --peer h2spec
  cargo seawall conformance --tls                 over TLS, by an authority that is made for it

What is not on the machine is installed: into .seawall/tools, and Debian's packages by apt-get. What cannot be
had is skipped, and the table says why. The exit code is 1 if something failed that is not known to fail.")]
pub(crate) struct Args {
    /// These alone; all where none is named
    #[arg(long = "peer", value_enum)]
    peers: Vec<Peer>,
    /// Over TLS, with those that take certificates of ours
    #[arg(long)]
    tls: bool,
}

/// What Seawall is tried with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Peer {
    /// The interop client and server of grpc-go
    GrpcGo,
    /// Those of Debian's ruby-grpc
    Ruby,
    /// grpcio, the implementation for Python
    Grpcio,
    /// grpc-js, the implementation for Node.js
    GrpcJs,
    /// A server that uses HTTP/2 in rare ways
    NegativeHttp2,
    /// The conformance tests of HTTP/2
    H2spec,
    /// grpcurl, an old one and the newest
    Grpcurl,
    /// Envoy in front of the service
    Envoy,
    /// ghz, which makes load
    Ghz,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let peers = if args.peers.is_empty() { Peer::value_variants() } else { &args.peers };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let rows = runtime.block_on(async {
        let mut lab = Lab::start(&workspace, args.tls).await?;
        let mut rows = Rows::default();
        for peer in peers {
            let name = peer.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
            terminal::status("Trying", &name);
            if args.tls && !peer.takes_certificates() {
                rows.extend(name.clone(), Ok(vec![Row::skipped(&name, "all", "it is tried in plaintext alone")]));
                continue;
            }
            rows.extend(name, peer.run(&mut lab).await);
        }
        anyhow::Ok(rows)
    })?;
    rows.report()
}

impl Peer {
    /// Not those whose programs have certificates of their own, or no TLS.
    fn takes_certificates(self) -> bool {
        !matches!(self, Self::Ruby | Self::NegativeHttp2 | Self::Envoy)
    }

    /// All that is tried with it. An error is something that the lab could not do.
    async fn run(self, lab: &mut Lab) -> Result<Vec<Row>> {
        match self {
            Self::GrpcGo => grpc_go::run(lab).await,
            Self::Ruby => ruby::run(lab).await,
            Self::Grpcio => grpcio::run(lab).await,
            Self::GrpcJs => grpc_js::run(lab).await,
            Self::NegativeHttp2 => negative::run(lab).await,
            Self::H2spec => h2spec::run(lab).await,
            Self::Grpcurl => grpcurl::run(lab).await,
            Self::Envoy => envoy::run(lab).await,
            Self::Ghz => ghz::run(lab).await,
        }
    }
}
