//! The workspace and its services: found by their `Cargo.toml`, never listed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::layout::Layout;

/// Where we are, and which services there are.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// By name.
    pub(crate) services: Vec<Service>,
}

/// One service: a package with `[package.metadata.seawall]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) manifest: PathBuf,
    pub(crate) metadata: Metadata,
}

/// What a service says about itself in `[package.metadata.seawall]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metadata {
    /// The preferred port of gRPC.
    pub(crate) port: u16,
    /// The preferred port of `/metrics`.
    pub(crate) metrics_port: u16,
    /// The services it calls.
    #[serde(default)]
    pub(crate) calls: Vec<String>,
    /// Whether it wants `SEAWALL_SQL_URL`.
    #[serde(default)]
    pub(crate) sql: bool,
    /// Whether it wants `SEAWALL_REDIS_URL`.
    #[serde(default)]
    pub(crate) redis: bool,
    /// Commands that show it at work, printed by `up`; `{name}` stands for the address of a service.
    #[serde(default)]
    pub(crate) examples: Vec<String>,
}

#[derive(Deserialize)]
struct Manifest {
    package: Package,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    metadata: Option<PackageMetadata>,
}

#[derive(Deserialize)]
struct PackageMetadata {
    seawall: Option<Metadata>,
}

impl Workspace {
    /// The workspace around the current folder.
    pub(crate) fn find() -> Result<Self> {
        let here = std::env::current_dir().context("the current folder cannot be read")?;
        for folder in here.ancestors() {
            if is_workspace(&folder.join("Cargo.toml"))? {
                return Self::at(folder);
            }
        }
        bail!("no Cargo workspace at {} or above it; go to a checkout of Seawall", here.display())
    }

    /// The workspace at `root`.
    pub(crate) fn at(root: &Path) -> Result<Self> {
        let mut services = Vec::new();
        let folder = root.join("services");
        if folder.is_dir() {
            for entry in folder.read_dir().with_context(|| format!("{} cannot be read", folder.display()))? {
                let manifest = entry?.path().join("Cargo.toml");
                if manifest.is_file() {
                    services.extend(read_service(manifest)?);
                }
            }
        }
        services.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { root: root.to_owned(), services })
    }

    /// The service of this name.
    pub(crate) fn service(&self, name: &str) -> Result<&Service> {
        let found = self.services.iter().find(|service| service.name == name);
        found.with_context(|| {
            let known: Vec<&str> = self.services.iter().map(|service| service.name.as_str()).collect();
            format!("{name:?} is no service of this workspace; there are: {}", known.join(", "))
        })
    }

    /// Where this workspace keeps what runs leave behind.
    pub(crate) fn layout(&self) -> Layout {
        Layout::new(&self.root)
    }
}

fn is_workspace(manifest: &Path) -> Result<bool> {
    let Ok(text) = std::fs::read_to_string(manifest) else { return Ok(false) };
    let table: toml::Table = text.parse().with_context(|| format!("{} is not valid TOML", manifest.display()))?;
    Ok(table.contains_key("workspace"))
}

fn read_service(manifest: PathBuf) -> Result<Option<Service>> {
    let name = manifest.display().to_string();
    let text = std::fs::read_to_string(&manifest).with_context(|| format!("{name} cannot be read"))?;
    let package = toml::from_str::<Manifest>(&text).with_context(|| format!("{name} is not understood"))?.package;
    let metadata = package.metadata.and_then(|metadata| metadata.seawall);
    Ok(metadata.map(|metadata| Service { name: package.name, manifest, metadata }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, name: &str, text: &str) {
        let folder = root.join("services").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("Cargo.toml"), text).unwrap();
    }

    #[test]
    fn finds_the_packages_that_say_they_are_services() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "b", "[package]\nname='user'\n[package.metadata.seawall]\nport=1\nmetrics_port=2\nsql=true");
        write(root.path(), "a", "[package]\nname='library'");
        let services = Workspace::at(root.path()).unwrap().services;
        assert_eq!(services.len(), 1);
        assert_eq!(services[0].name, "user");
        assert_eq!((services[0].metadata.port, services[0].metadata.sql), (1, true));
    }

    #[test]
    fn names_the_file_and_the_key_of_a_mistake() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "a", "[package]\nname='a'\n[package.metadata.seawall]\nport=1\nmetrics_port=2\ncall=['b']");
        let message = format!("{:#}", Workspace::at(root.path()).unwrap_err());
        assert!(message.contains("services/a/Cargo.toml") && message.contains("`call`"), "{message}");
    }
}
