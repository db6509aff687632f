//! Looks for programs on the PATH and in further folders.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The first of `names` in the folders of the PATH, then in `more`.
pub(crate) fn program(names: &[&str], more: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).chain(more.iter().cloned()).collect();
    names.iter().find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|file| is_executable(file)))
}

pub(crate) fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}
