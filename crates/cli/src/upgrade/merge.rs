//! The three-way merge of a service: what its template was, what it is, and what the owner has made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::read;
use crate::template::{Rendered, parts};

/// Two of the three sides. The third is in the workspace.
#[derive(Debug)]
pub(super) struct Sides<'a> {
    /// Of the service.
    pub(super) name: &'a str,
    /// What the template made when the service was made, or last upgraded.
    pub(super) base: Rendered,
    /// What it makes now.
    pub(super) theirs: Rendered,
}

/// What becomes of the workspace. Files that stay as they are, are not in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Merged {
    /// A new text, or none for a file that goes.
    pub(super) files: BTreeMap<String, Option<String>>,
    /// Files with marks of conflicts, and how many.
    pub(super) conflicts: BTreeMap<String, usize>,
    /// What of the template was left out, because the owner has said otherwise.
    pub(super) notes: Vec<String>,
}

/// Merges every file, and every part of files that are shared.
///
/// # Errors
/// If something cannot be read, or git cannot be run.
pub(super) fn merge(root: &Path, sides: &Sides<'_>) -> Result<Merged> {
    let mut merged = Merged::default();
    for path in both(&sides.base.files, &sides.theirs.files) {
        let (base, theirs) = (sides.base.files.get(path), sides.theirs.files.get(path));
        if base == theirs {
            continue;
        }
        let ours = read(root, path)?;
        if let Some(text) = merged.text(sides.name, path, base, ours.as_ref(), theirs)? {
            merged.files.insert(path.clone(), text);
        }
    }
    for path in both(&sides.base.parts, &sides.theirs.parts) {
        let (base, theirs) = (sides.base.parts.get(path), sides.theirs.parts.get(path));
        if base == theirs {
            continue;
        }
        let Some(shared) = read(root, path)? else { continue };
        let place = base.and_then(|base| parts::find(&shared, base));
        let ours = place.clone().map(|range| shared[range].to_owned());
        let text = merged.text(sides.name, path, base, ours.as_ref(), theirs)?;
        let text = match (place, text) {
            (Some(range), Some(Some(text))) => format!("{}{text}{}", &shared[..range.start], &shared[range.end..]),
            (Some(range), Some(None)) => parts::take_out(&shared, range.clone(), &shared[range]),
            (None, Some(Some(text))) => parts::put_in(&shared, &text)?,
            (None, Some(None)) | (_, None) => continue,
        };
        merged.files.insert(path.clone(), Some(text));
    }
    Ok(merged)
}

fn both<'a>(one: &'a BTreeMap<String, String>, other: &'a BTreeMap<String, String>) -> BTreeSet<&'a String> {
    one.keys().chain(other.keys()).collect()
}

impl Merged {
    /// What becomes of one text: none if it stays, a text, or its end.
    fn text(
        &mut self,
        name: &str,
        path: &str,
        base: Option<&String>,
        ours: Option<&String>,
        theirs: Option<&String>,
    ) -> Result<Option<Option<String>>> {
        Ok(match (base, ours, theirs) {
            (_, ours, theirs) if ours == theirs => None,
            // Nobody has touched it since.
            (base, ours, theirs) if base == ours => Some(theirs.cloned()),
            // A database that has run a migration takes no other of that name.
            (Some(_), Some(_), Some(_)) if path.contains("/migrations/") => {
                self.notes.push(format!("{path} as it is: a migration that has run is never changed"));
                None
            }
            (_, Some(_), None) => {
                self.notes.push(format!("{path}, which the template no longer has, because it was edited"));
                None
            }
            (_, None, _) => {
                self.notes.push(format!("{path} away: it was removed here, and has changed in the template"));
                None
            }
            (base, Some(ours), Some(theirs)) => {
                let base = base.map_or("", String::as_str);
                let (text, conflicts) = merge_file(name, base, ours, theirs)?;
                if conflicts > 0 {
                    self.conflicts.insert(path.to_owned(), conflicts);
                }
                (text != *ours).then_some(Some(text))
            }
        })
    }
}

/// `git merge-file`: the merged text, and how many conflicts are marked in it.
fn merge_file(name: &str, base: &str, ours: &str, theirs: &str) -> Result<(String, usize)> {
    let folder = tempfile::tempdir().context("there is no place for temporary files")?;
    for (file, text) in [("ours", ours), ("base", base), ("theirs", theirs)] {
        std::fs::write(folder.path().join(file), text).context("a temporary file cannot be written")?;
    }
    let mut git = Command::new("git");
    git.current_dir(folder.path()).args(["merge-file", "--stdout", "-L", name, "-L", "the template before"]);
    git.args(["-L", "the template", "ours", "base", "theirs"]).stdin(Stdio::null());
    let output = git.output().context("git cannot be run, and is needed to merge")?;
    // As many conflicts as there are, up to 127; more than that is a failure.
    let conflicts = output.status.code().and_then(|code| usize::try_from(code).ok()).filter(|count| *count <= 127);
    let Some(conflicts) = conflicts else { bail!("git merge-file: {}", String::from_utf8_lossy(&output.stderr)) };
    Ok((String::from_utf8(output.stdout).context("git merges to no text")?, conflicts))
}

#[cfg(test)]
mod tests;
