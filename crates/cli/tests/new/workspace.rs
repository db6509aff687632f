//! A workspace with the contracts and deployments of this one, in git, without code that would have to be built.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What is copied from this workspace.
const COPIED: [&str; 7] = [
    ".rustfmt.toml",
    "proto",
    "docker-compose.yml",
    "deploy/postgres/databases.sql",
    "deploy/k8s/base/kustomization.yaml",
    "services/user/Cargo.toml",
    "services/order/Cargo.toml",
];

pub(crate) struct Workspace(tempfile::TempDir);

/// What a program said, and how it ended.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Workspace {
    pub(crate) fn new() -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        this.write("Cargo.toml", "[workspace]\nresolver = '3'\nmembers = ['services/*']\n");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for path in COPIED {
            let to = this.path(path);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            let done = Command::new("cp").arg("-r").arg(root.join(path)).arg(&to).status().unwrap();
            assert!(done.success(), "{path} cannot be copied");
        }
        this.git(&["init", "--quiet"]);
        this.commit();
        this
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Replaces what is in the file once.
    pub(crate) fn edit(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert_eq!(text.matches(from).count(), 1, "{from:?} in {path}");
        self.write(path, &text.replace(from, to));
    }

    fn git(&self, arguments: &[&str]) {
        let done = Command::new("git")
            .current_dir(self.root())
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
            .args(arguments)
            .status();
        assert!(done.unwrap().success(), "git {arguments:?}");
    }

    pub(crate) fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "now"]);
    }

    /// Every path and what is in it, folders too, without what git keeps.
    pub(crate) fn tree(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let mut tree = BTreeMap::new();
        let mut folders = vec![self.root().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in folder.read_dir().unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && path.file_name().unwrap() != ".git" {
                    folders.push(path.clone());
                }
                if !path.ends_with(".git") {
                    tree.insert(path.clone(), std::fs::read(&path).ok());
                }
            }
        }
        tree
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-seawall"));
        command.current_dir(self.root()).args(arguments).stdin(Stdio::null());
        command
    }

    /// `cargo seawall`, with nobody to answer questions.
    pub(crate) fn seawall(&self, arguments: &[&str]) -> Said {
        said(self.command(arguments).output().unwrap())
    }

    /// The same, which must do it.
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let said = self.seawall(arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {}", said.err);
        said.out
    }

    /// The same by somebody who may not write here.
    pub(crate) fn seawall_by_a_stranger(&self, arguments: &[&str]) -> Said {
        // Root may write everywhere.
        const NOBODY: u32 = 65_534;
        let mut command = self.command(arguments);
        if nix::unistd::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        } else {
            let read_only = Command::new("chmod").args(["-R", "a-w"]).arg(self.root()).status();
            assert!(read_only.unwrap().success());
        }
        said(command.output().unwrap())
    }
}

fn said(output: Output) -> Said {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}
