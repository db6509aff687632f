//! `cargo seawall rm`: undoes `new`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::new::lock;
use crate::template::changes::Changes;
use crate::template::record::Record;
use crate::template::{Rendered, files_below, parts};
use crate::terminal;
use crate::workspace::Workspace;

/// Removes a service that `new` has made, with all that `new` wrote for it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo seawall rm billing          the tree is as it was before `cargo seawall new billing`
  cargo seawall rm billing --force  also what was written since")]
pub(crate) struct Args {
    /// Such as billing
    name: String,
    /// Remove it though it was edited, or others call it
    #[arg(long)]
    force: bool,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let Args { name, .. } = args;
    workspace.service(name)?;
    let callers: Vec<&str> = workspace
        .services
        .iter()
        .filter(|service| service.name != *name && service.metadata.calls.contains(name))
        .map(|service| service.name.as_str())
        .collect();
    if !callers.is_empty() && !args.force {
        bail!(
            "{name} is called by {}, which would not build without it; --force removes it all the same",
            callers.join(", ")
        );
    }
    let record = Record::read(&workspace.root, name)?;
    let made = record.rendered();
    let edited = edited(&workspace.root, name, &made)?;
    if !edited.is_empty() && !args.force {
        bail!(
            "{name} is not as `cargo seawall new` has made it; --force removes this as well:\n  {}",
            edited.into_iter().collect::<Vec<_>>().join("\n  ")
        );
    }
    let changes = changes(&workspace.root, name, &made)?;
    changes.check(&workspace.root)?;
    let summary = changes.summary(&workspace.root);
    if !args.dry_run {
        changes.apply(&workspace.root, || lock(&workspace.root))?;
    }
    for (verb, path) in summary {
        terminal::status(verb, path);
    }
    if args.dry_run {
        terminal::warning("Dry run", "nothing has been removed");
    }
    Ok(ExitCode::SUCCESS)
}

/// What is not as it was made: files that were changed, removed or added, and parts.
fn edited(root: &Path, name: &str, made: &Rendered) -> Result<BTreeSet<String>> {
    let mut edited = BTreeSet::new();
    for (path, text) in &made.files {
        match std::fs::read_to_string(root.join(path)) {
            Ok(now) if now == *text => {}
            Ok(_) => drop(edited.insert(format!("{path} (changed)"))),
            Err(_) => drop(edited.insert(format!("{path} (gone)"))),
        }
    }
    for path in all_files(root, name, made)? {
        if !made.files.contains_key(&path) && path != Record::path(name) {
            edited.insert(format!("{path} (added)"));
        }
    }
    for (path, part) in &made.parts {
        let text = std::fs::read_to_string(root.join(path)).unwrap_or_default();
        match parts::find(&text, part) {
            Some(range) if text[range.clone()] == **part => {}
            Some(_) => drop(edited.insert(format!("{path} (the part of {name} was changed)"))),
            None => drop(edited.insert(format!("{path} (the part of {name} is gone)"))),
        }
    }
    Ok(edited)
}

/// Every file in the folders that are the service's own, from the root.
fn all_files(root: &Path, name: &str, made: &Rendered) -> Result<Vec<String>> {
    let is_own = |folder: &&Path| folder.file_name().is_some_and(|last| last == name);
    let folders = made.files.keys().filter_map(|path| Path::new(path).ancestors().skip(1).find(is_own));
    let folders: BTreeSet<&Path> = folders.collect();
    let mut files = Vec::new();
    for folder in folders.into_iter().filter(|folder| root.join(folder).is_dir()) {
        for file in files_below(&root.join(folder))? {
            files.push(file.strip_prefix(root)?.to_str().context("a path is no text")?.to_owned());
        }
    }
    Ok(files)
}

fn changes(root: &Path, name: &str, made: &Rendered) -> Result<Changes> {
    let mut changes = Changes::default();
    // What `new` has made may be gone by now.
    let made_files = made.files.keys().filter(|path| root.join(path).is_file()).cloned();
    for path in made_files.chain(all_files(root, name, made)?) {
        changes.remove(path);
    }
    for (path, part) in &made.parts {
        let Ok(text) = std::fs::read_to_string(root.join(path)) else { continue };
        if let Some(range) = parts::find(&text, part) {
            changes.write(path, parts::take_out(&text, range, part));
        }
    }
    Ok(changes)
}
