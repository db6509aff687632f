//! `cargo seawall ci`: everything that must hold before a change is merged.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::compile::cargo;
use crate::workspace::Workspace;
use crate::{checks, contract, lint, sim, terminal, test};

/// Checks everything: lint, contracts, documentation, loom, heap profiles, the simulation, tests, costs. The line with
/// the tests' numbers comes last.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let mut checks = lint::checks(&workspace);
    checks.push(checks::run("contract", || contract::check(&workspace, None)));
    checks.push(checks::run("cargo doc", || {
        terminal::status("Checking", "cargo doc --no-deps --workspace");
        let mut doc = Command::new(cargo());
        doc.current_dir(&workspace.root).args(["doc", "--no-deps", "--workspace"]);
        lint::succeed(doc.env("RUSTDOCFLAGS", "--deny warnings"), "its findings are above")
    }));
    checks.push(checks::run("loom", || loom(&workspace.root)));
    checks.push(checks::run("heap profiles", || heap(&workspace.root)));
    checks.push(checks::run("simulation", || sim::check(&workspace)));
    let mut tests = None;
    checks.push(checks::run("cargo test", || {
        let outcome = tests.insert(test::execute(&workspace, &[])?);
        if outcome.success { Ok(()) } else { bail!("the tests that failed are above") }
    }));
    checks.push(checks::run("costs", || costs(&workspace.root)));
    let code = checks::report(&checks)?;
    terminal::print("")?;
    if let Some(tests) = tests {
        tests.report()?;
    }
    Ok(code)
}

/// Counts what our server does for a call, which may not rise over what is written down.
fn costs(root: &Path) -> Result<()> {
    let mut cargo = Command::new(cargo());
    cargo.current_dir(root).args(["run", "--profile", "plain", "--manifest-path", "bench/Cargo.toml", "--bin", "size"]);
    terminal::status("Counting", "instructions, allocations and writes of a call");
    lint::succeed(cargo.args(["--", "--only", "off,ours-1,ours-100"]), "what has risen is above")
}

/// Runs the tests of the one feature that is not on by itself, because jemalloc takes a minute to build.
fn heap(root: &Path) -> Result<()> {
    let mut cargo = Command::new(cargo());
    cargo.current_dir(root).args(["test", "--package", "seawall-profile", "--features", "heap"]);
    terminal::status("Testing", "heap profiles, with jemalloc");
    lint::succeed(&mut cargo, "the tests that failed are above")
}

/// Runs the tests that try every interleaving of what is atomic, of each crate that has them. They have
/// a target folder of their own, because loom replaces the atomics in all that they use.
fn loom(root: &Path) -> Result<()> {
    let mut cargo = Command::new(cargo());
    cargo.current_dir(root).args(["test", "--test", "loom"]);
    let members = root.join("crates").read_dir()?.collect::<std::io::Result<Vec<_>>>()?;
    for member in members.iter().filter(|member| member.path().join("tests/loom.rs").is_file()) {
        cargo.arg("--package").arg(format!("seawall-{}", member.file_name().to_string_lossy()));
    }
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    cargo.env("RUSTFLAGS", format!("{flags} --cfg seawall_loom")).env("CARGO_TARGET_DIR", root.join("target/loom"));
    terminal::status("Testing", "the models of atomic states, with loom");
    lint::succeed(&mut cargo, "the models that failed are above")
}
