//! `cargo seawall ci`: everything that must hold before a change is merged.

use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::compile::cargo;
use crate::workspace::Workspace;
use crate::{checks, lint, terminal, test};

/// Checks everything: lint, documentation, tests. The line with the tests' numbers comes last.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let mut checks = lint::checks(&workspace);
    checks.push(checks::run("cargo doc", || {
        terminal::status("Checking", "cargo doc --no-deps --workspace");
        let mut doc = Command::new(cargo());
        doc.current_dir(&workspace.root).args(["doc", "--no-deps", "--workspace"]);
        lint::succeed(doc.env("RUSTDOCFLAGS", "--deny warnings"), "its findings are above")
    }));
    let mut tests = None;
    checks.push(checks::run("cargo test", || {
        let outcome = tests.insert(test::execute(&workspace, &[])?);
        if outcome.success { Ok(()) } else { bail!("the tests that failed are above") }
    }));
    let code = checks::report(&checks)?;
    terminal::print("")?;
    if let Some(tests) = tests {
        tests.report()?;
    }
    Ok(code)
}
