//! `cargo seawall test`: all tests, with what they need.

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::compile::cargo;
use crate::terminal;
use crate::tools::is_ci;
use crate::workspace::Workspace;

/// Runs all tests, and first finds or installs what they need (PostgreSQL, Redis, grpcurl, openssl, kustomize).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo seawall test                           everything
  cargo seawall test -p order                  what `cargo test` takes is passed on
  cargo seawall test -- --nocapture deadline

What can neither be found nor installed is named at the end with the tests that were skipped for it.
With CI=true that is a failure.")]
pub(crate) struct Args {
    /// Passed on to `cargo test`, in place of --workspace if a package is chosen
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

/// Something that tests need.
#[derive(Debug)]
struct Need {
    what: &'static str,
    /// Tests leave out what needs it where this is 1.
    variable: &'static str,
    tests: &'static str,
}

const POSTGRES: Need = Need {
    what: "PostgreSQL",
    variable: "TEST_SKIP_POSTGRES",
    tests: "every test of storage on PostgreSQL (they ran on SQLite)",
};
const REDIS: Need = Need {
    what: "Redis (or Valkey)",
    variable: "TEST_SKIP_REDIS",
    tests: "every test of what replicas share on Redis (they ran in one process)",
};
const GRPCURL: Need =
    Need { what: "grpcurl", variable: "TEST_SKIP_GRPCURL", tests: "the calls that the README and `up` show" };

const BUF: Need = Need { what: "buf", variable: "TEST_SKIP_BUF", tests: "the comparison of contracts" };

const OPENSSL: Need =
    Need { what: "openssl", variable: "TEST_SKIP_OPENSSL", tests: "handshakes of TLS with OpenSSL (ours ran)" };

const KUBERNETES: Need = Need {
    what: "kustomize and kubernetes-validate",
    variable: "TEST_SKIP_KUBERNETES",
    tests: "whether the manifests for Kubernetes agree with the code",
};

/// What was left out, and why.
#[derive(Debug)]
struct Skipped {
    need: Need,
    cause: String,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let outcome = execute(&Workspace::find()?, &args.arguments)?;
    outcome.report()?;
    Ok(if outcome.success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How the tests ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) success: bool,
    counts: Counts,
    skipped: Vec<Skipped>,
}

/// Finds or installs what tests need and runs them, with further arguments for cargo.
pub(crate) fn execute(workspace: &Workspace, arguments: &[String]) -> Result<Outcome> {
    let tools = workspace.layout().tools();
    let mut skipped = Vec::new();
    skipped.extend(missing(POSTGRES, || tools.postgres()));
    skipped.extend(missing(REDIS, || tools.redis()));
    skipped.extend(missing(GRPCURL, || tools.grpcurl().map(drop)));
    skipped.extend(missing(BUF, || tools.buf().map(drop)));
    skipped.extend(missing(OPENSSL, || tools.openssl()));
    skipped.extend(missing(KUBERNETES, || tools.kustomize().and_then(|_| tools.kubernetes_validate()).map(drop)));
    if let (true, Some(Skipped { need, cause })) = (is_ci(), skipped.first()) {
        bail!("tests need {}, and with CI=true nothing may be skipped: {cause}", need.what);
    }
    let mut command = Command::new(cargo());
    command.arg("test").current_dir(&workspace.root).env("PATH", tools.path()?).stdin(Stdio::null());
    let chooses =
        |argument: &String| ["-p", "--package", "--workspace"].iter().any(|choice| argument.starts_with(choice));
    if !arguments.iter().take_while(|argument| *argument != "--").any(chooses) {
        command.arg("--workspace");
    }
    for Skipped { need, .. } in &skipped {
        command.env(need.variable, "1");
    }
    terminal::status("Testing", "cargo test");
    let (counts, success) = count(command.args(arguments))?;
    Ok(Outcome { success, counts, skipped })
}

/// Whether it is to be left out: because you say so, or because it cannot be had.
fn missing(need: Need, get: impl FnOnce() -> Result<()>) -> Option<Skipped> {
    if std::env::var(need.variable).is_ok_and(|skip| skip == "1") {
        let cause = format!("{}=1 is set", need.variable);
        return Some(Skipped { need, cause });
    }
    let cause = format!("{:#}", get().err()?);
    Some(Skipped { need, cause })
}

/// Tests by how they ended.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
}

impl Counts {
    /// Adds what the last line of one test program says: `test result: ok. 3 passed; 0 failed; …`.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let number = |word: &str| -> u64 {
            let before = result.split_once(word).map_or("", |(before, _)| before).trim_end();
            before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        self.passed += number("passed");
        self.failed += number("failed");
    }
}

/// Runs the tests, shows what they print, and counts them.
fn count(command: &mut Command) -> Result<(Counts, bool)> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cargo cannot be run")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let mut counts = Counts::default();
    // Bytes, because what a test prints need not be text.
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("the output of the tests cannot be read")?;
        let line = String::from_utf8_lossy(&line);
        counts.add(&line);
        terminal::print(line)?;
    }
    let status = child.wait().context("cargo cannot be waited for")?;
    Ok((counts, status.success()))
}

impl Outcome {
    /// Says what was skipped and why, and last how many tests passed and failed, alone on a line.
    pub(crate) fn report(&self) -> Result<()> {
        for Skipped { need, cause } in &self.skipped {
            terminal::warning("Skipped", format!("{}, for want of {}: {cause}", need.tests, need.what));
        }
        terminal::print(format!("{} passed, {} failed", self.counts.passed, self.counts.failed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_programs_are_added_up() {
        let mut counts = Counts::default();
        counts.add("running 2 tests");
        counts.add("test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out; finished in 0.21s");
        counts.add("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.2s");
        assert_eq!(counts, Counts { passed: 15, failed: 2 });
    }

    #[test]
    fn what_is_missing_is_skipped_with_its_cause() {
        let skipped = missing(GRPCURL, || bail!("no Go")).expect("it is missing");
        assert_eq!(skipped.cause, "no Go");
        assert!(missing(GRPCURL, || Ok(())).is_none());
    }
}
