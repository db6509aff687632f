//! Building the services with one run of cargo, whose progress the user sees.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::workspace::Service;

/// A line of `--message-format=json`; the many other kinds have no executable.
#[derive(Deserialize)]
struct Message {
    manifest_path: Option<PathBuf>,
    executable: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// Builds the services and answers the executable of each, by name. Dropping it ends cargo.
pub(crate) async fn build(root: &Path, services: &[Service], release: bool) -> Result<BTreeMap<String, PathBuf>> {
    let mut cargo = Command::new(cargo());
    cargo.current_dir(root).args(["build", "--message-format=json-render-diagnostics"]);
    if release {
        cargo.arg("--release");
    }
    for service in services {
        cargo.args(["--package", &service.name]);
    }
    cargo.stdout(Stdio::piped()).stdin(Stdio::null()).kill_on_drop(true);
    let mut child = cargo.spawn().context("cargo cannot be run")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let mut programs = BTreeMap::new();
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next_line().await.context("cargo's output cannot be read")? {
        if let Some((name, program)) = executable(&line, services) {
            programs.insert(name, program);
        }
    }
    if !child.wait().await.context("cargo cannot be waited for")?.success() {
        bail!("the build failed; its errors are above");
    }
    require_all(services, &programs)?;
    Ok(programs)
}

/// The executables in `folder`, built by somebody else.
pub(crate) fn prebuilt(folder: &Path, services: &[Service]) -> Result<BTreeMap<String, PathBuf>> {
    let folder = folder.canonicalize().with_context(|| format!("{} is not there", folder.display()))?;
    let programs = services.iter().map(|service| (service.name.clone(), folder.join(&service.name)));
    let programs = programs.filter(|(_, program)| program.is_file()).collect();
    require_all(services, &programs)?;
    Ok(programs)
}

/// The cargo that runs us, else the one on PATH.
pub(crate) fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

fn executable(line: &str, services: &[Service]) -> Option<(String, PathBuf)> {
    let message: Message = serde_json::from_str(line).ok()?;
    let (manifest, program) = (message.manifest_path?, message.executable?);
    let service = services.iter().find(|service| service.manifest == manifest)?;
    // A service may have further programs beside the one that is named after it.
    (message.target?.name == service.name).then(|| (service.name.clone(), program))
}

fn require_all(services: &[Service], programs: &BTreeMap<String, PathBuf>) -> Result<()> {
    for Service { name, .. } in services {
        if !programs.contains_key(name) {
            bail!("there is no executable named {name}; give services/{name} a src/main.rs");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Metadata;

    #[test]
    fn takes_the_program_named_after_the_service() {
        let manifest = PathBuf::from("/w/services/user/Cargo.toml");
        let user = Service { name: "user".into(), manifest, metadata: Metadata::default() };
        let line = |target: &str, manifest: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"{manifest}","target":{{"name":"{target}"}},"executable":"/t/{target}"}}"#
            )
        };
        let services = [user];
        let found = executable(&line("user", "/w/services/user/Cargo.toml"), &services);
        assert_eq!(found, Some(("user".into(), "/t/user".into())));
        assert_eq!(executable(&line("import", "/w/services/user/Cargo.toml"), &services), None);
        assert_eq!(executable(&line("user", "/elsewhere/Cargo.toml"), &services), None);
        assert_eq!(executable(r#"{"reason":"build-finished","success":true}"#, &services), None);
    }
}
