//! `up docker`: the same stack in containers, by `docker-compose.yml`.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::terminal;
use crate::workspace::Workspace;

/// Becomes `docker compose up --build`, where a Docker engine answers.
pub(crate) fn up(workspace: &Workspace, detach: bool) -> Result<ExitCode> {
    if !workspace.root.join("docker-compose.yml").is_file() {
        bail!("there is no docker-compose.yml in {}", workspace.root.display());
    }
    require_engine()?;
    let mut compose = Command::new("docker");
    compose.current_dir(&workspace.root).args(["compose", "up", "--build"]);
    if detach {
        compose.args(["--detach", "--wait"]);
    }
    terminal::status("Running", "docker compose up --build");
    Err(compose.exec()).context("docker cannot be run")
}

fn require_engine() -> Result<()> {
    let answer = Command::new("docker").arg("info").stdin(Stdio::null()).output();
    let answer = answer.context("docker is not installed; without it, `cargo seawall up` runs the same services")?;
    if !answer.status.success() {
        let errors = String::from_utf8_lossy(&answer.stderr);
        let cause = errors.lines().last().unwrap_or("`docker info` failed").to_owned();
        return Err(anyhow::anyhow!(cause)
            .context("no Docker engine answers; start one, or run `cargo seawall up`, which needs none"));
    }
    Ok(())
}
