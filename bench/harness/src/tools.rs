//! Programs of others: found on the machine, or installed from Debian's packages with a word about it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// The program on PATH, installed by apt-get as `package` if it is not there and we may install it.
///
/// # Errors
/// With what to do by hand.
pub fn tool(program: &str, package: &str) -> Result<PathBuf> {
    if let Some(found) = find(program) {
        return Ok(found);
    }
    let by_hand = || format!("{program} is not on PATH; install it with: sudo apt-get install {package}");
    if find("apt-get").is_none() || !nix::unistd::geteuid().is_root() {
        bail!(by_hand());
    }
    eprintln!("installing {package} by apt-get");
    let install = ["install", "--yes", "--quiet", "--no-install-recommends", package];
    // The lists of a fresh machine are empty or old; where they will do, they need not be fetched.
    apt(&install).or_else(|_| apt(&["update", "--quiet"]).and_then(|()| apt(&install))).with_context(by_hand)?;
    find(program).with_context(by_hand)
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|program| program.is_file())
}

fn apt(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    let output = command.output()?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("apt-get failed: {}", errors.trim().lines().last().unwrap_or("it says nothing"));
    }
    Ok(())
}
