//! Changes of the workspace that are made all together or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::unistd::{AccessFlags, access};

use crate::terminal;

/// What becomes of files, by their paths from the root: a new text, or none for a file that goes.
#[derive(Debug, Default)]
pub(crate) struct Changes(BTreeMap<String, Option<String>>);

/// What was there before, to be brought back.
#[derive(Debug, Default)]
struct Undo {
    files: Vec<(PathBuf, Option<Vec<u8>>)>,
    folders: Vec<PathBuf>,
}

/// Fails if nobody may write where the workspace is, before any work has been done for it.
pub(crate) fn require_writable(root: &Path) -> Result<()> {
    access(root, AccessFlags::W_OK).with_context(|| format!("{} may not be written", root.display()))
}

impl Changes {
    pub(crate) fn write(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.0.insert(path.into(), Some(text.into()));
    }

    pub(crate) fn remove(&mut self, path: impl Into<String>) {
        self.0.insert(path.into(), None);
    }

    /// The text that a file is to have.
    #[cfg(test)]
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.0.get(path)?.as_deref()
    }

    /// Each path, with what is done to it.
    pub(crate) fn summary(&self, root: &Path) -> Vec<(&'static str, &str)> {
        let verb = |path: &str, text: &Option<String>| match text {
            None => "Removed",
            Some(_) if root.join(path).exists() => "Changed",
            Some(_) => "Created",
        };
        self.0.iter().map(|(path, text)| (verb(path, text), path.as_str())).collect()
    }

    /// Fails if something already stands where a file is to be, or may not be written.
    pub(crate) fn check(&self, root: &Path) -> Result<()> {
        for path in self.0.keys() {
            let file = root.join(path);
            let place = file.ancestors().find(|ancestor| ancestor.symlink_metadata().is_ok());
            let place = place.with_context(|| format!("{} has no folder", file.display()))?;
            if place != file && !place.is_dir() {
                bail!("{} is no folder, so {path} cannot be written", place.display());
            }
            if file.is_dir() {
                bail!("{path} is a folder, so no file can be written there");
            }
            access(place, AccessFlags::W_OK).with_context(|| format!("{} may not be written", place.display()))?;
        }
        Ok(())
    }

    /// Makes all of the changes, then `last`. If one of them fails, the tree is brought back to what it was.
    ///
    /// # Errors
    /// Why one of them failed.
    pub(crate) fn apply(&self, root: &Path, last: impl FnOnce() -> Result<()>) -> Result<()> {
        let mut undo = Undo::default();
        let done = self.0.iter().try_for_each(|(path, text)| undo.change(root, path, text.as_deref()));
        remove_empty_folders(root, self.0.iter().filter(|(_, text)| text.is_none()).map(|(path, _)| path));
        done.and_then(|()| last()).map_err(|error| {
            undo.all();
            error.context("nothing has been changed")
        })
    }
}

impl Undo {
    fn change(&mut self, root: &Path, path: &str, text: Option<&str>) -> Result<()> {
        let file = root.join(path);
        let before = match std::fs::read(&file) {
            Ok(before) => Some(before),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("{path} cannot be read")),
        };
        if let Some(text) = text {
            self.make_folders(root, &file).with_context(|| format!("the folder of {path} cannot be made"))?;
            self.files.push((file.clone(), before));
            std::fs::write(&file, text).with_context(|| format!("{path} cannot be written"))
        } else if before.is_some() {
            self.files.push((file.clone(), before));
            std::fs::remove_file(&file).with_context(|| format!("{path} cannot be removed"))
        } else {
            Ok(())
        }
    }

    fn make_folders(&mut self, root: &Path, file: &Path) -> std::io::Result<()> {
        let missing = file.ancestors().skip(1).take_while(|folder| *folder != root && !folder.is_dir());
        let mut missing: Vec<&Path> = missing.collect();
        missing.reverse();
        for folder in missing {
            std::fs::create_dir(folder)?;
            self.folders.push(folder.to_owned());
        }
        Ok(())
    }

    /// Goes on where something cannot be undone, which is said.
    fn all(self) {
        for (file, before) in self.files.into_iter().rev() {
            let undone = match before {
                Some(before) => folder_of(&file).and_then(|()| std::fs::write(&file, before)),
                None => std::fs::remove_file(&file),
            };
            // A file that could not be written at all is not there.
            if let Err(error) = undone
                && error.kind() != std::io::ErrorKind::NotFound
            {
                terminal::warning("Left", format!("{}: {error}", file.display()));
            }
        }
        for folder in self.folders.iter().rev() {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

/// Makes the folder of a file, which may have gone with the last file in it.
fn folder_of(file: &Path) -> std::io::Result<()> {
    file.parent().map_or(Ok(()), std::fs::create_dir_all)
}

/// Removes the folders of files that are gone, as far up as nothing is in them.
fn remove_empty_folders<'a>(root: &Path, gone: impl Iterator<Item = &'a String>) {
    let folders: BTreeSet<PathBuf> = gone.flat_map(|path| folders_of(root, path)).collect();
    // The deepest first. One that is not empty stays.
    for folder in folders.iter().rev() {
        let _ = std::fs::remove_dir(folder);
    }
}

fn folders_of(root: &Path, path: &str) -> Vec<PathBuf> {
    root.join(path).ancestors().skip(1).take_while(|folder| *folder != root).map(Path::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(all: &[(&str, Option<&str>)]) -> Changes {
        Changes(all.iter().map(|(path, text)| ((*path).to_owned(), text.map(str::to_owned))).collect())
    }

    /// Every path below a folder, with its text.
    fn tree(root: &Path) -> Vec<(PathBuf, Option<String>)> {
        let mut found = Vec::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in folder.read_dir().unwrap() {
                let path = entry.unwrap().path();
                found.push((path.clone(), std::fs::read_to_string(&path).ok()));
                folders.extend(path.is_dir().then_some(path));
            }
        }
        found.sort();
        found
    }

    #[test]
    fn all_is_made_or_nothing() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a"), "old").unwrap();
        std::fs::write(root.path().join("c"), "a file").unwrap();
        std::fs::create_dir(root.path().join("f")).unwrap();
        std::fs::write(root.path().join("f/f"), "alone").unwrap();
        let before = tree(root.path());
        // The last cannot be, because `c` is no folder.
        let bad = changes(&[("a", Some("new")), ("b/b/b", Some("new")), ("c/d", Some("new"))]);
        assert!(bad.check(root.path()).is_err());
        bad.apply(root.path(), || Ok(())).unwrap_err();
        assert_eq!(tree(root.path()), before);
        // What comes after the files fails.
        let good = changes(&[("a", Some("new")), ("b/b/b", Some("new")), ("c", None), ("f/f", None)]);
        good.check(root.path()).unwrap();
        good.apply(root.path(), || {
            assert!(!root.path().join("f").exists(), "what comes last sees the tree as it will be");
            bail!("no")
        })
        .unwrap_err();
        assert_eq!(tree(root.path()), before);

        good.apply(root.path(), || Ok(())).unwrap();
        assert_eq!(std::fs::read_to_string(root.path().join("a")).unwrap(), "new");
        assert!(root.path().join("b/b/b").is_file() && !root.path().join("c").exists());
        changes(&[("b/b/b", None)]).apply(root.path(), || Ok(())).unwrap();
        assert!(!root.path().join("b").exists(), "empty folders stay behind");
    }
}
