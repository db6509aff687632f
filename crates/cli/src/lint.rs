//! `cargo seawall lint`: everything that is checked without running it.

mod code;
mod manifests;
mod policy;
mod rules;

pub(crate) use policy::descriptors;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::checks::{self, Check};
use crate::compile::cargo;
use crate::terminal;
use crate::tools::is_ci;
use crate::workspace::Workspace;

/// Checks formatting, code, contracts and manifests: cargo fmt, clippy, buf lint, policies, rules, Kubernetes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo seawall lint                 everything
  cargo seawall lint --only policy   budgets, retries and calls of the contracts, in a second")]
pub(crate) struct Args {
    /// One check alone
    #[arg(long, value_name = "CHECK")]
    only: Option<Only>,
}

/// The checks, by name.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Only {
    /// Formatting
    Fmt,
    /// What clippy finds
    Clippy,
    /// What buf finds in the contracts
    Buf,
    /// Whether budgets, retries and calls of the contracts fit together, and fit the code
    Policy,
    /// Whether every method says who may call it
    Auth,
    /// Whether the manifests in deploy/k8s are what Kubernetes takes
    Kubernetes,
}

const ALL: [Only; 6] = [Only::Fmt, Only::Clippy, Only::Buf, Only::Policy, Only::Auth, Only::Kubernetes];

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    match args.only {
        Some(only) => checks::report(&[check(&workspace, only)]),
        None => checks::report(&checks(&workspace)),
    }
}

/// Runs all checks, whatever comes of them.
pub(crate) fn checks(workspace: &Workspace) -> Vec<Check> {
    ALL.into_iter().map(|one| check(workspace, one)).collect()
}

fn check(workspace: &Workspace, only: Only) -> Check {
    let root = &workspace.root;
    match only {
        Only::Fmt => {
            let fmt = || cargo_ok(root, &["fmt", "--all", "--check"], "format it with: cargo fmt --all");
            checks::run("cargo fmt", fmt)
        }
        Only::Clippy => checks::run("cargo clippy", || {
            let arguments = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
            cargo_ok(root, &arguments, "its findings are above")
        }),
        Only::Buf => buf_lint(workspace),
        Only::Policy => policy::check(workspace),
        Only::Auth => rules::check(workspace),
        Only::Kubernetes => manifests::check(workspace),
    }
}

fn buf_lint(workspace: &Workspace) -> Check {
    let buf = match workspace.layout().tools().buf() {
        Ok(buf) => buf,
        Err(error) if is_ci() => return checks::run("buf lint", || Err(error.context("buf is needed"))),
        Err(error) => {
            let cause = format!("buf cannot be had: {error:#}");
            return Check::skipped("buf lint", cause);
        }
    };
    checks::run("buf lint", || {
        let mut command = Command::new(buf);
        command.arg("lint").current_dir(workspace.root.join("proto"));
        succeed(&mut command, "its findings are above")
    })
}

fn cargo_ok(root: &Path, arguments: &[&str], advice: &str) -> Result<()> {
    terminal::status("Checking", format!("cargo {}", arguments.join(" ")));
    succeed(Command::new(cargo()).current_dir(root).args(arguments), advice)
}

/// Runs the program where the user sees it; it must succeed.
pub(crate) fn succeed(command: &mut Command, advice: &str) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("{name} cannot be run"))?;
    if !status.success() {
        bail!("{advice}");
    }
    Ok(())
}
