//! `cargo seawall contract`: whether callers that are out there can go on.

mod breaking;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::terminal::{self, BAD, BOLD, BUSY, DIM, count, styled};
use crate::workspace::Workspace;
use breaking::{Break, Known};

/// What a branch is compared with where nothing is said: where it has left the first of these that is there.
const TRUNKS: [&str; 4] = ["origin/HEAD", "origin/main", "main", "master"];

/// Checks contracts against those that are in use.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Check(Check),
}

/// Refuses changes that break those who use the contracts as they were.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo seawall contract check                    since this branch has left main
  cargo seawall contract check --against v1.4.0   since a release
  cargo seawall contract check --against HEAD     what is not committed yet

The files of proto/ as they are now are compared with those of the revision by buf, which is installed if it is not
there. proto/buf.yaml says by which rules: those for messages in binary and JSON, and that no
method goes away. The exit code is 1 if something breaks.")]
struct Check {
    /// A commit, branch or tag [default: where this branch has left origin/main or main]
    #[arg(long, value_name = "REVISION")]
    against: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let Action::Check(Check { against }) = &args.command;
    check(&Workspace::find()?, against.as_deref())?;
    Ok(ExitCode::SUCCESS)
}

/// Whether nothing breaks since this revision; since this branch has left the trunk, if none is given.
pub(crate) fn check(workspace: &Workspace, against: Option<&str>) -> Result<()> {
    let folder = workspace.root.join("proto");
    if !folder.is_dir() {
        bail!("there are no contracts here: no folder proto/ in {}", workspace.root.display());
    }
    let base = Base::find(&workspace.root, against)?;
    if git(&workspace.root, &["ls-tree", "--name-only", &base.commit, "proto/"])?.is_empty() {
        return terminal::print(format!("Nothing breaks: there were no contracts in {base}"));
    }
    let buf = workspace.layout().tools().buf().context("contracts are compared by buf, which cannot be had")?;
    terminal::status("Comparing", format!("proto/ with {base}"));
    let breaks = breaking::find(&buf, &workspace.root, &base.commit)?;
    let known = Known::new(workspace);
    for one in &breaks {
        show(one, &known, &base)?;
    }
    if breaks.is_empty() {
        return terminal::print(format!("Nothing breaks for those who use the contracts of {base}"));
    }
    bail!(
        "{} since {base}, above; to break on purpose, make a new version beside the old one (package …v2)",
        count(breaks.len(), "breaking change", "breaking changes")
    )
}

/// One of them, as compilers show theirs.
fn show(one: &Break, known: &Known, base: &Base) -> Result<()> {
    let advice = one.advice();
    terminal::print(format!("{}: {}", styled(BAD, format!("error[{}]", one.rule)), styled(BOLD, &one.message)))?;
    terminal::print(format!("  {} {}", styled(BUSY, "-->"), one.place()))?;
    terminal::print(format!("  {} {}: {}", styled(BUSY, "breaks"), known.who(&one.path, advice.who), advice.what))?;
    terminal::print(format!("  {} {}", styled(BUSY, "fix:"), advice.fix))?;
    if let Some(path) = one.path.as_deref() {
        terminal::print(styled(DIM, format!("  as it was: git show {}:./proto/{path}", base.short())))?;
    }
    terminal::print("")
}

/// The revision that is compared with.
#[derive(Debug)]
struct Base {
    commit: String,
    /// In words, such as `main`.
    name: String,
}

impl Base {
    fn find(root: &Path, against: Option<&str>) -> Result<Self> {
        git(root, &["rev-parse", "--git-dir"])
            .context("contracts are compared with those in git, which is not here")?;
        let commit = |revision: &str| {
            git(root, &["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{revision}^{{commit}}")])
        };
        if let Some(against) = against {
            let commit = commit(against).map_err(|_| {
                anyhow::anyhow!("git knows no revision {against:?}; list them with: git log --oneline, or git tag, or fetch it first")
            })?;
            return Ok(Self { commit, name: against.to_owned() });
        }
        let head = commit("HEAD").context("there is no commit to compare with; make one first")?;
        for trunk in TRUNKS.into_iter().filter(|trunk| commit(trunk).is_ok()) {
            // None where the clone is shallow, or the histories have nothing in common.
            if let Ok(commit) = git(root, &["merge-base", "HEAD", trunk]) {
                let name = if commit == head {
                    "the last commit".to_owned()
                } else {
                    format!("{trunk}, as this branch has left it")
                };
                return Ok(Self { commit, name });
            }
        }
        Ok(Self { commit: head, name: "the last commit".to_owned() })
    }

    fn short(&self) -> &str {
        &self.commit[..self.commit.len().min(9)]
    }
}

impl std::fmt::Display for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name, self.short())
    }
}

/// What git answers, without the end of its line.
fn git(root: &Path, arguments: &[&str]) -> Result<String> {
    let mut git = Command::new("git");
    let output = git.arg("-C").arg(root).args(arguments).stdin(Stdio::null()).output().context("git cannot be run")?;
    if !output.status.success() {
        bail!("git {}: {}", arguments[0], String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
