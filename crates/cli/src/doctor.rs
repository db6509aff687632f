//! `cargo seawall doctor`: what is wrong with this machine and with the settings, and how to put it right.
//!
//! It changes nothing, builds nothing and needs nothing that runs. What a setting may be is not known here: each
//! service is asked (`--check`), and for production too (`--check --production`).

mod databases;
mod finding;
mod machine;
mod ports;
mod services;

use std::path::PathBuf;
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::Duration;

use anyhow::Result;

use crate::terminal;
use crate::workspace::Workspace;
use finding::{Findings, Level};

/// A program that answers later than this is not there for us.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(10);

/// Says what is wrong here and how to put it right: toolchain, ports, disk, databases, Docker, certificates, settings.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo seawall doctor                              this machine, as for `cargo seawall up`
  SEAWALL_CONFIG=prod.toml cargo seawall doctor --prod     which settings are for development alone
  cargo seawall doctor --json | jq '.findings[] | select(.level == \"problem\")'

Settings are read as services read them: from SEAWALL_* and from the file that SEAWALL_CONFIG names. The exit code is 1
if there is a problem; warnings and notes are none.")]
pub(crate) struct Args {
    /// Check the settings for production: every one that is for development alone is a problem
    #[arg(long)]
    prod: bool,
    /// One line of JSON
    #[arg(long)]
    json: bool,
    /// Ask the executables in this folder for their settings [default: what was built last]
    #[arg(long, value_name = "FOLDER")]
    prebuilt: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let mut findings = Findings::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        if !args.prod {
            machine::check(&workspace, &mut findings).await;
            ports::check(&workspace, &mut findings)?;
        }
        databases::check(args.prod, &mut findings).await;
        services::check(&workspace, args.prebuilt.as_deref(), args.prod, &mut findings).await
    })?;
    if args.json {
        terminal::print(serde_json::to_string(&findings)?)?;
    } else {
        findings.print()?;
    }
    Ok(if findings.count(Level::Problem) > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What a program answers; nothing if it is not there or does not end in time.
async fn answer(command: Command) -> Option<Output> {
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::null()).kill_on_drop(true);
    tokio::time::timeout(PROGRAM_TIMEOUT, command.output()).await.ok()?.ok()
}

/// The first line that a program prints, if it ends well.
async fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments);
    let output = answer(command).await.filter(|output| output.status.success())?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(|line| line.trim().to_owned())
}
