//! The program of `crates/attack` and the services that it starts: built with one run of cargo.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::compile::cargo;
use crate::terminal;
use crate::workspace::Workspace;

const PACKAGE: &str = "seawall-attack";

/// Programs by their names.
#[derive(Debug)]
pub(crate) struct Programs(BTreeMap<String, PathBuf>);

impl Programs {
    /// Builds them, whose progress the user sees.
    pub(crate) fn build(workspace: &Workspace, services: &[&str], release: bool) -> Result<Self> {
        #[derive(Deserialize)]
        struct Message {
            executable: Option<PathBuf>,
            target: Option<Target>,
        }
        #[derive(Deserialize)]
        struct Target {
            name: String,
        }
        terminal::status("Building", format!("{} and crates/attack", services.join(", ")));
        let mut cargo = Command::new(cargo());
        cargo.current_dir(&workspace.root).stdin(Stdio::null()).stderr(Stdio::inherit());
        cargo.args(["build", "--message-format=json-render-diagnostics", "--package", PACKAGE]);
        cargo.args(services.iter().flat_map(|service| ["--package", service]));
        cargo.args(release.then_some("--release"));
        let output = cargo.output().context("cargo cannot be run")?;
        if !output.status.success() {
            bail!("the build failed; its errors are above");
        }
        let lines = String::from_utf8_lossy(&output.stdout);
        let messages = lines.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
        Ok(Self(messages.filter_map(|message| Some((message.target?.name, message.executable?))).collect()))
    }

    /// Where a program is, as an argument.
    pub(crate) fn path(&self, name: &str) -> Result<String> {
        let path = self.0.get(name).with_context(|| format!("cargo has built no {name}"))?;
        Ok(path.display().to_string())
    }

    /// Runs the program, gives each line of its answer to `each`, and says whether it has ended well.
    pub(crate) fn run<T: DeserializeOwned>(&self, words: &[String], mut each: impl FnMut(T)) -> Result<bool> {
        let program = self.path(PACKAGE)?;
        let mut command = Command::new(&program);
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{program} cannot be run"))?;
        let output = child.stdout.take().context("the program has no output")?;
        for line in BufReader::new(output).lines() {
            let line = line.context("the answer of the program cannot be read")?;
            each(serde_json::from_str(&line).with_context(|| format!("not a report: {line}"))?);
        }
        Ok(child.wait().context("the program cannot be waited for")?.success())
    }
}
