//! `cargo seawall upgrade`: brings what has changed in the template to a service that its owner has edited.

mod merge;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::git;
use crate::new::lock;
use crate::template::Template;
use crate::template::changes::Changes;
use crate::template::record::Record;
use crate::terminal;
use crate::workspace::Workspace;
use merge::{Merged, Sides};

/// Brings a newer template to a service: a three-way merge, with conflicts marked as git does.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  cargo seawall upgrade billing   then `git diff`; conflicts stand between <<<<<<< and >>>>>>>

What the template made is in services/billing/.template.json, and what is here now is merged with what the template
would make today. Migrations that are there are never changed. It ends with 1 where there are conflicts.")]
pub(crate) struct Args {
    /// Such as billing
    name: String,
    /// Say what would be changed, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Merge into changes that are not committed
    #[arg(long)]
    allow_dirty: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let (name, root) = (&args.name, &workspace.root);
    workspace.service(name)?;
    let record = Record::read(root, name)?;
    if !args.allow_dirty {
        git::require_clean(root, "what the template has brought")?;
    }
    let theirs = Template::of(root)?.render(&record.options.facts(root)?, root)?;
    let next = Record::new(record.options.clone(), &theirs);
    if next == record {
        terminal::status("Upgraded", format!("{name}: its template has not changed"));
        return Ok(ExitCode::SUCCESS);
    }
    let sides = Sides { name, base: record.rendered(), theirs };
    let merged = merge::merge(root, &sides)?;
    let mut changes = merged_changes(root, &merged)?;
    changes.write(Record::path(name), next.to_text()?);
    changes.check(root)?;
    let summary = changes.summary(root);
    if !args.dry_run {
        // Marks of conflicts may stand in a manifest, which cargo does not take.
        let last = || if merged.conflicts.is_empty() { lock(root) } else { Ok(()) };
        changes.apply(root, last)?;
    }
    for (verb, path) in summary {
        terminal::status(verb, path);
    }
    report(&merged, args.dry_run);
    Ok(if merged.conflicts.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn merged_changes(root: &Path, merged: &Merged) -> Result<Changes> {
    let mut changes = Changes::default();
    for (path, text) in &merged.files {
        match text {
            Some(text) => changes.write(path, text),
            None => changes.remove(path),
        }
    }
    if let Some(path) = merged.files.keys().find(|path| root.join(path).is_dir()) {
        bail!("{path} is a folder here and a file in the template");
    }
    Ok(changes)
}

fn report(merged: &Merged, dry_run: bool) {
    for note in &merged.notes {
        terminal::warning("Kept", note);
    }
    for (path, count) in &merged.conflicts {
        terminal::warning("Conflict", format!("{path}: {}", terminal::count(*count, "place", "places")));
    }
    if dry_run {
        terminal::warning("Dry run", "nothing has been written");
    }
}

/// The text of a file, if it is there.
fn read(root: &Path, path: &str) -> Result<Option<String>> {
    match std::fs::read_to_string(root.join(path)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{path} cannot be read")),
    }
}
