//! Has cargo build a package of this workspace, by itself.
//!
//! One package at a time, because cargo builds what several packages need with the features that any of
//! them wants, and what is compared is to have its own.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// How a program is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Profile {
    /// Fat link-time optimisation and one codegen unit.
    Release,
    /// What cargo makes of `--release` where nobody says otherwise.
    Plain,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Release => "release",
            Self::Plain => "plain",
        })
    }
}

/// A program to be built.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Build {
    package: String,
    profile: Profile,
    features: Vec<String>,
}

impl Build {
    /// The package of this workspace, whose program has the same name.
    pub fn new(package: &str, profile: Profile) -> Self {
        Self { package: package.to_owned(), profile, features: Vec::new() }
    }

    /// With a feature of the package. Programs of a package and profile lie in the same place, so whoever measures
    /// builds each with the same features always.
    #[must_use]
    pub fn feature(mut self, feature: &str) -> Self {
        self.features.push(feature.to_owned());
        self
    }

    /// Builds it, which takes a minute or two where something has changed.
    ///
    /// # Errors
    /// If cargo fails; it has said why.
    pub fn executable(&self) -> Result<PathBuf> {
        let Self { package, profile, .. } = self;
        eprintln!("building {package} ({profile})");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--message-format", "json-render-diagnostics", "--manifest-path"]);
        cargo.arg(bench_folder().join("Cargo.toml")).arg("--profile").arg(profile.to_string());
        cargo.arg("--package").arg(package).arg("--bin").arg(package);
        if !self.features.is_empty() {
            cargo.arg("--features").arg(self.features.join(","));
        }
        // Those of the package that measures, which cargo has set for it.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_PKG_")) {
            cargo.env_remove(name);
        }
        let output = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cargo cannot be run")?;
        if !output.status.success() {
            bail!("{package} cannot be built");
        }
        let messages = String::from_utf8(output.stdout)?;
        let mut executables = messages.lines().filter_map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).ok()?;
            let is_it = message["target"]["name"] == **package;
            is_it.then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
        });
        executables.next_back().with_context(|| format!("cargo has built {package} and not said where it is"))
    }
}

/// The folder of this workspace, `bench`.
pub fn bench_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package lies in the folder of its workspace")
}
