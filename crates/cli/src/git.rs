//! What git knows of the workspace.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

/// As many changed files are named.
const NAMED_MAX: usize = 5;

/// Fails if files of the workspace have changes that are not committed. Where there is no git, there is
/// nothing to compare with.
pub(crate) fn require_clean(root: &Path, what: &str) -> Result<()> {
    let mut git = Command::new("git");
    git.current_dir(root).args(["status", "--porcelain", "--untracked-files=all", "--", "."]);
    let Ok(output) = git.stdin(Stdio::null()).stderr(Stdio::null()).output() else { return Ok(()) };
    if !output.status.success() || output.stdout.is_empty() {
        return Ok(());
    }
    let changed = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines: Vec<&str> = changed.lines().take(NAMED_MAX).collect();
    if changed.lines().count() > NAMED_MAX {
        lines.push(" … and more");
    }
    bail!(
        "there are changes that are not committed, beside which {what} could not be told apart:\n  {}\n  commit or \
         stash them, or say --allow-dirty",
        lines.join("\n  ")
    );
}
