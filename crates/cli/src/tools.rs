//! Programs that tests, checks and examples need: found on the machine, or installed with a word about it.
//!
//! What is installed goes to `.seawall/tools` of the workspace, except PostgreSQL, Redis and Go, which
//! come from Debian's packages where we may install them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::terminal;

/// What `go install` gets grpcurl from.
pub(crate) const GRPCURL: &str = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.8.9";
/// What `pip install` gets buf from, and `go install` where there is no pip.
const BUF_PIP: &str = "buf-bin==1.75.0";
const BUF_GO: &str = "github.com/bufbuild/buf/cmd/buf@v1.75.0";
/// What `go install` gets kustomize from.
const KUSTOMIZE: &str = "sigs.k8s.io/kustomize/kustomize/v5@v5.8.1";
/// What `pip install` gets the schemas of Kubernetes from, and what compares manifests with them.
const KUBERNETES_VALIDATE: &str = "kubernetes-validate==1.37.0";
/// Where Debian puts the programs of a PostgreSQL server, one folder a version.
const DEBIAN_POSTGRES: &str = "/usr/lib/postgresql";

/// The folder of a workspace that tools are installed into.
#[derive(Debug)]
pub(crate) struct Tools {
    folder: PathBuf,
}

impl Tools {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where everything is put.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where programs are put.
    pub(crate) fn bin(&self) -> PathBuf {
        self.folder.join("bin")
    }

    /// PATH with our tools first, and PostgreSQL's programs, which Debian keeps off it.
    pub(crate) fn path(&self) -> Result<OsString> {
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let folders = [self.bin()].into_iter().chain(std::env::split_paths(&inherited)).chain(postgres_folder());
        std::env::join_paths(folders).context("PATH cannot be composed")
    }

    /// The program here or on PATH.
    pub(crate) fn find(&self, name: &str) -> Option<PathBuf> {
        Some(self.bin().join(name)).filter(|program| program.is_file()).or_else(|| find(name))
    }

    /// PostgreSQL's server, installed by apt-get if it is not there.
    pub(crate) fn postgres(&self) -> Result<()> {
        if find("postgres").is_some() || postgres_folder().is_some() {
            return Ok(());
        }
        apt_install("postgresql")
    }

    /// The server of Redis or Valkey, installed by apt-get if it is not there.
    pub(crate) fn redis(&self) -> Result<()> {
        if find("valkey-server").is_some() || find("redis-server").is_some() {
            return Ok(());
        }
        apt_install("redis-server")
    }

    /// OpenSSL's program, installed by apt-get if it is not there.
    pub(crate) fn openssl(&self) -> Result<()> {
        if find("openssl").is_some() { Ok(()) } else { apt_install("openssl") }
    }

    /// grpcurl, installed by Go if it is not there.
    pub(crate) fn grpcurl(&self) -> Result<PathBuf> {
        match self.find("grpcurl") {
            Some(program) => Ok(program),
            None => self.go_install("grpcurl", GRPCURL),
        }
    }

    /// buf, installed by pip or Go if it is not there.
    pub(crate) fn buf(&self) -> Result<PathBuf> {
        if let Some(program) = self.find("buf") {
            return Ok(program);
        }
        let pip = self.pip_install("buf", BUF_PIP);
        pip.or_else(|cause| {
            terminal::warning("Without", format!("pip: {cause:#}"));
            self.go_install("buf", BUF_GO)
        })
    }

    /// kustomize, installed by Go if it is not there.
    pub(crate) fn kustomize(&self) -> Result<PathBuf> {
        match self.find("kustomize") {
            Some(program) => Ok(program),
            None => self.go_install("kustomize", KUSTOMIZE),
        }
    }

    /// kubernetes-validate, installed by pip if it is not there.
    pub(crate) fn kubernetes_validate(&self) -> Result<PathBuf> {
        match self.find("kubernetes-validate") {
            Some(program) => Ok(program),
            None => self.pip_install("kubernetes-validate", KUBERNETES_VALIDATE),
        }
    }

    fn go_install(&self, name: &str, package: &str) -> Result<PathBuf> {
        if find("go").is_none() {
            apt_install("golang-go").context("Go is not installed")?;
        }
        terminal::status("Installing", format!("{name} by go install, which takes a minute"));
        std::fs::create_dir_all(self.bin())?;
        let mut go = Command::new("go");
        go.args(["install", package]).env("GOBIN", self.bin()).env("GOFLAGS", "-mod=mod");
        run(&mut go)?;
        self.find(name).with_context(|| format!("go install has put no {name} into {}", self.bin().display()))
    }

    fn pip_install(&self, name: &str, package: &str) -> Result<PathBuf> {
        terminal::status("Installing", format!("{name} by pip install"));
        // A folder for each, because pip removes what it has put there for another.
        let target = self.folder.join("python").join(name);
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade", "--target"]);
        run(pip.arg(&target).arg(package))?;
        let installed = target.join("bin").join(name);
        if !installed.is_file() {
            bail!("pip install has put no {name} into {}", target.display());
        }
        std::fs::create_dir_all(self.bin())?;
        let link = self.bin().join(name);
        std::os::unix::fs::symlink(&installed, &link).with_context(|| format!("{} cannot be made", link.display()))?;
        Ok(link)
    }
}

/// The program, if it is on PATH.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// Whether we are checked by a machine, where a skipped test is a failed one.
pub(crate) fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|ci| ci == "true" || ci == "1")
}

/// The programs of the newest PostgreSQL that Debian has installed.
fn postgres_folder() -> Option<PathBuf> {
    let versions = Path::new(DEBIAN_POSTGRES).read_dir().ok()?.flatten().map(|entry| entry.path());
    let newest = versions.max_by_key(|folder| {
        folder.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()).unwrap_or_default()
    })?;
    Some(newest.join("bin")).filter(|folder| folder.join("postgres").is_file())
}

/// Installs a Debian package, where there is apt-get and we may use it.
pub(crate) fn apt_install(package: &str) -> Result<()> {
    if find("apt-get").is_none() {
        bail!("it is not on PATH; install it with your system's package manager");
    }
    let sudo: &[&str] = if nix::unistd::geteuid().is_root() {
        &[]
    } else if find("sudo").is_some() && succeeds(Command::new("sudo").args(["--non-interactive", "true"])) {
        &["sudo", "--non-interactive"]
    } else {
        bail!("it is not on PATH; install it with: sudo apt-get install {package}");
    };
    terminal::status("Installing", format!("{package} by apt-get"));
    let apt = |arguments: &[&str]| {
        let words = [sudo, &["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"], arguments].concat();
        run(Command::new(words[0]).args(&words[1..]))
    };
    let install = ["install", "--yes", "--quiet", "--no-install-recommends", package];
    // The lists of a fresh machine are empty or old; where they will do, they need not be fetched.
    apt(&install).or_else(|_| {
        apt(&["update", "--quiet"])?;
        apt(&install)
    })
}

fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
}

/// Runs a program that installs something; what it says is shown only if it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{name} cannot be run"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{name} failed: {}", errors.trim().lines().last().unwrap_or("it says nothing"));
    }
    Ok(())
}
