//! What every peer is tried in: our two programs, free ports, folders.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tokio::process::Command;

use super::certificates::Certificates;
use super::install::Installer;
use super::process::Process;
use crate::compile::cargo;
use crate::layout::Layout;
use crate::ports::Ports;
use crate::terminal;
use crate::workspace::Workspace;

/// The package of our two programs.
const PACKAGE: &str = "seawall-interop";
/// Where servers listen, from here on upwards.
const FIRST_PORT: u16 = 21_000;

/// Our server runs for as long as this is held.
#[derive(Debug)]
pub(super) struct Lab {
    pub(super) installer: Installer,
    /// Of the workspace.
    root: PathBuf,
    layout: Layout,
    client: PathBuf,
    next_port: u16,
    server: SocketAddr,
    /// If everybody speaks TLS.
    certificates: Option<Certificates>,
    _server: Process,
}

impl Lab {
    /// Builds our programs and starts the server, with TLS or without.
    pub(super) async fn start(workspace: &Workspace, tls: bool) -> Result<Self> {
        let mut programs = build(&workspace.root)?;
        let mut program =
            |name: &str| programs.remove(name).with_context(|| format!("cargo has built no {name} of crates/interop"));
        let (server_program, client) = (program("interop-server")?, program("interop-client")?);
        let layout = workspace.layout();
        layout.create()?;
        let mut next_port = FIRST_PORT;
        let (address, metrics) = (free_address(&mut next_port)?, free_address(&mut next_port)?);
        let mut command = Command::new(server_program);
        command
            .env("SEAWALL_SERVER_LISTEN", address.to_string())
            .env("SEAWALL_SERVER_METRICS_LISTEN", metrics.to_string())
            // grpcurl and ghz ask for the contracts.
            .env("SEAWALL_SERVER_REFLECTION", "true")
            // What is tried is the wire: a machine that is busy with other things sheds nothing.
            .env("SEAWALL_SERVER_CPU_MAX", "1");
        let certificates = tls.then(|| Certificates::create(&layout.data().join("conformance-tls"))).transpose()?;
        if let Some(Certificates { cert, key, .. }) = &certificates {
            command.env("SEAWALL_TLS_CERT", cert).env("SEAWALL_TLS_KEY", key).env("SEAWALL_TLS_CLIENTS", "anyone");
        }
        let server = Process::listening(&mut command, layout.log("conformance-seawall"), address).await?;
        let installer = Installer::new(&layout.tools());
        Ok(Self {
            installer,
            root: workspace.root.clone(),
            layout,
            client,
            next_port,
            server: address,
            certificates,
            _server: server,
        })
    }

    /// Where our server is.
    pub(super) fn server(&self) -> SocketAddr {
        self.server
    }

    /// What everybody's TLS is made with, if there is any.
    pub(super) fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// Our client. Its arguments are those of all interop clients.
    pub(super) fn client(&self) -> Command {
        Command::new(&self.client)
    }

    /// An address that nobody listens on, and that was not handed out before.
    pub(super) fn free_address(&mut self) -> Result<SocketAddr> {
        free_address(&mut self.next_port)
    }

    /// Where a program's log goes.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.layout.log(&format!("conformance-{name}"))
    }

    /// A file of `crates/interop/peers`.
    pub(super) fn script(&self, name: &str) -> PathBuf {
        self.root.join("crates/interop/peers").join(name)
    }

    /// The folder of the contracts that the scripts read.
    pub(super) fn contracts(&self) -> PathBuf {
        self.root.join("crates/interop/proto")
    }
}

fn free_address(next_port: &mut u16) -> Result<SocketAddr> {
    let address = Ports::new([]).pick(*next_port)?;
    *next_port = address.port().saturating_add(1);
    Ok(address)
}

/// Builds our programs, whose progress the user sees, and says where they are.
fn build(root: &Path) -> Result<BTreeMap<String, PathBuf>> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
        target: Option<Target>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    terminal::status("Building", "the interop service and its client (crates/interop)");
    let mut cargo = std::process::Command::new(cargo());
    cargo.current_dir(root).stdin(Stdio::null()).stderr(Stdio::inherit());
    cargo.args(["build", "--package", PACKAGE, "--message-format=json-render-diagnostics"]);
    let output = cargo.output().context("cargo cannot be run")?;
    if !output.status.success() {
        bail!("the build failed; its errors are above");
    }
    let lines = String::from_utf8_lossy(&output.stdout);
    let messages = lines.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    Ok(messages.filter_map(|message| Some((message.target?.name, message.executable?))).collect())
}
