//! Whether the manifests can be built by kustomize, and are what Kubernetes takes.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::checks::{self, Check};
use crate::terminal;
use crate::tools::{Tools, is_ci};
use crate::workspace::Workspace;

const NAME: &str = "kubernetes";
const FOLDER: &str = "deploy/k8s";
/// The first version that has all that the manifests use (a preStop that sleeps), and the newest whose
/// schemas are known.
const VERSIONS: [&str; 2] = ["1.30", "1.37"];

pub(super) fn check(workspace: &Workspace) -> Check {
    let folder = workspace.root.join(FOLDER);
    if !folder.is_dir() {
        return Check::skipped(NAME, format!("there is no {FOLDER}"));
    }
    let tools = workspace.layout().tools();
    match programs(&tools) {
        Ok(programs) => checks::run(NAME, || overlays(&folder)?.iter().try_for_each(|it| programs.check(it))),
        Err(error) if is_ci() => checks::run(NAME, || Err(error)),
        Err(error) => Check::skipped(NAME, format!("{error:#}")),
    }
}

/// What builds manifests, and what knows the schemas.
#[derive(Debug)]
struct Programs {
    kustomize: PathBuf,
    validate: PathBuf,
}

fn programs(tools: &Tools) -> Result<Programs> {
    Ok(Programs {
        kustomize: tools.kustomize().context("kustomize cannot be had")?,
        validate: tools.kubernetes_validate().context("kubernetes-validate cannot be had")?,
    })
}

/// The folders that kustomize can build.
fn overlays(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = folder.read_dir().with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut folders = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    folders.retain(|folder| folder.join("kustomization.yaml").is_file());
    folders.sort();
    if folders.is_empty() {
        bail!("{} has no overlay", folder.display());
    }
    Ok(folders)
}

impl Programs {
    /// Builds an overlay and has it looked at, as each version sees it.
    fn check(&self, overlay: &Path) -> Result<()> {
        let shown = overlay.file_name().unwrap_or_default().display();
        terminal::status("Checking", format!("{FOLDER}/{shown} for Kubernetes {}", VERSIONS.join(" and ")));
        let built = Command::new(&self.kustomize).arg("build").arg(overlay).stdin(Stdio::null()).output();
        let built = built.context("kustomize cannot be run")?;
        if !built.status.success() {
            bail!("{FOLDER}/{shown} cannot be built: {}", String::from_utf8_lossy(&built.stderr).trim());
        }
        VERSIONS.iter().try_for_each(|version| {
            let accepted = self.accepts(version, &built.stdout)?;
            if accepted { Ok(()) } else { bail!("{FOLDER}/{shown} is not for Kubernetes {version}; why is above") }
        })
    }

    /// Whether a version of Kubernetes takes the manifests. What it does not take is printed.
    fn accepts(&self, version: &str, manifests: &[u8]) -> Result<bool> {
        // Pip has put its modules beside the folder of the program.
        let program = self.validate.canonicalize()?;
        let modules = program.parent().and_then(Path::parent).context("it has no modules")?;
        let mut validate = Command::new(&program);
        validate.args(["--kubernetes-version", version, "--strict", "--quiet", "/dev/stdin"]);
        let mut child = validate.env("PYTHONPATH", modules).stdin(Stdio::piped()).spawn()?;
        // It reads all before it says anything.
        child.stdin.take().context("it takes no input")?.write_all(manifests)?;
        Ok(child.wait()?.success())
    }
}
