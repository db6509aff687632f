//! The rules of the workspace as tests, because a rule without a test is a wish.
//!
//! `tests/structure.rs` holds the code to its layout: dependencies point one way, manifests take
//! their versions and lints from the workspace, every file says what it is. `tests/deploy` holds
//! the Dockerfile, `docker-compose.yml` and the manifests for Kubernetes to the code.

use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The text of a file in the workspace.
///
/// # Panics
/// If it cannot be read.
pub fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A TOML file in the workspace.
///
/// # Panics
/// If it cannot be read or is not TOML.
pub fn toml(path: impl AsRef<Path>) -> toml::Table {
    let path = path.as_ref();
    read(path).parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A member of the workspace.
#[derive(Debug)]
pub struct Member {
    /// Its folder from the root, such as `crates/deadline`.
    pub folder: String,
    /// Its package's name.
    pub name: String,
    /// Its manifest.
    pub manifest: toml::Table,
}

impl Member {
    /// The names in a table such as `dependencies`, for every target.
    pub fn dependencies(&self, table: &str) -> Vec<String> {
        self.entries(table).map(|(name, _)| name.clone()).collect()
    }

    /// What stands in a table such as `dependencies`, for every target.
    pub fn entries(&self, table: &str) -> impl Iterator<Item = (&String, &toml::Value)> {
        let targets =
            self.manifest.get("target").and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::values);
        let of_targets = targets.filter_map(toml::Value::as_table);
        let tables = std::iter::once(&self.manifest).chain(of_targets);
        let table = table.to_owned();
        tables.filter_map(move |it| it.get(&table)?.as_table()).flatten()
    }

    /// The package's metadata for Seawall, if it is a service.
    pub fn service(&self) -> Option<&toml::Table> {
        self.manifest["package"].get("metadata")?.get("seawall")?.as_table()
    }
}

/// Every member of the workspace, by folder.
///
/// # Panics
/// If a manifest cannot be read.
pub fn members() -> Vec<Member> {
    let mut folders: Vec<String> = ["crates", "services"]
        .iter()
        .flat_map(|parent| list(parent))
        .filter(|folder| root().join(folder).join("Cargo.toml").exists())
        .collect();
    folders.sort();
    folders
        .into_iter()
        .map(|folder| {
            let manifest = toml(format!("{folder}/Cargo.toml"));
            let name = manifest["package"]["name"].as_str().expect("a package has a name").to_owned();
            Member { folder, name, manifest }
        })
        .collect()
}

/// Every file below a folder with one of these endings, as a path from the root.
pub fn files(folder: &str, ending: &str) -> Vec<String> {
    list(folder)
        .into_iter()
        .flat_map(|path| if root().join(&path).is_dir() { files(&path, ending) } else { vec![path] })
        .filter(|path| path.ends_with(ending))
        .collect()
}

fn list(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(folder)).into_iter().flatten().flatten();
    entries.map(|entry| format!("{folder}/{}", entry.file_name().to_string_lossy())).collect()
}
