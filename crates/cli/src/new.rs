//! `cargo seawall new`: a further service, from the template.

mod ask;
pub(crate) mod name;
mod standalone;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::compile::cargo;
use crate::git;
use crate::template::changes::{Changes, require_writable};
use crate::template::options::{Options, Store};
use crate::template::record::Record;
use crate::template::{Rendered, Template, parts};
use crate::terminal::{self, BOLD, styled};
use crate::workspace::{Metadata, Workspace};
use standalone::Source;

/// The ports of the first service of a workspace.
const FIRST_PORT: u16 = 50051;
const FIRST_METRICS_PORT: u16 = 9464;

/// Adds a service to this workspace, from templates/service.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo seawall new billing                       services/billing and its contract, ready for `cargo seawall up`
  cargo seawall new billing --calls user,order    asks user and order whether what it is told of is there
  cargo seawall new quotes --store none --stream  without a database, with a method that streams
  cargo seawall new billing --dry-run             what would be written
  cargo seawall new --standalone ../acme          a workspace of its own, which depends on this checkout
  cargo seawall new --standalone ../acme --from git=https://git.example/seawall

On a terminal it asks for what no flag says. `cargo seawall rm billing` undoes it.")]
pub(crate) struct Args {
    /// Lower-case letters and digits, such as billing
    name: Option<String>,
    /// Where it keeps what it knows [default: sql]
    #[arg(long, value_enum)]
    store: Option<Store>,
    /// The services that it calls [default: none]
    #[arg(long, value_name = "SERVICE,…", value_delimiter = ',')]
    calls: Option<Vec<String>>,
    /// With a method that streams
    #[arg(long)]
    stream: bool,
    /// Make a workspace of its own in this folder, which is named as it
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["name", "store", "calls", "stream", "json"])]
    standalone: Option<PathBuf>,
    /// Where that takes Seawall from: path (this checkout), git=URL, git=URL#REVISION or version=VERSION
    #[arg(long, value_name = "SOURCE", default_value = "path", requires = "standalone")]
    from: Source,
    /// Say what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Print what was written as one line of JSON, and ask nothing
    #[arg(long)]
    json: bool,
    /// Write beside changes that are not committed
    #[arg(long)]
    allow_dirty: bool,
}

/// What was made, for programs.
#[derive(Debug, Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    options: &'a Options,
    dry_run: bool,
    created: Vec<&'a str>,
    changed: Vec<&'a str>,
    next: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if let Some(folder) = &args.standalone {
        return standalone::run(folder, &args.from, args.dry_run);
    }
    let workspace = Workspace::find()?;
    let options = options(args, &workspace)?;
    if !args.allow_dirty {
        git::require_clean(&workspace.root, "what is new")?;
    }
    require_writable(&workspace.root)?;
    let changes = changes(&workspace.root, &options)?;
    changes.check(&workspace.root)?;
    let summary = changes.summary(&workspace.root);
    if !args.dry_run {
        changes.apply(&workspace.root, || lock(&workspace.root))?;
    }
    let next = vec![format!("cargo seawall up {}", options.name), format!("cargo seawall test -p {}", options.name)];
    if args.json {
        let of = |verb: &str| summary.iter().filter(|(done, _)| *done == verb).map(|(_, path)| *path).collect();
        let (created, changed) = (of("Created"), of("Changed"));
        let report = Report { options: &options, dry_run: args.dry_run, created, changed, next };
        terminal::print(serde_json::to_string(&report)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    for (verb, path) in summary {
        terminal::status(verb, path);
    }
    if args.dry_run {
        terminal::warning("Dry run", "nothing has been written");
        return Ok(ExitCode::SUCCESS);
    }
    terminal::print("")?;
    terminal::print(styled(BOLD, "Next"))?;
    next.into_iter().try_for_each(terminal::print)?;
    Ok(ExitCode::SUCCESS)
}

/// What the flags say, and somebody on the terminal where they do not.
fn options(args: &Args, workspace: &Workspace) -> Result<Options> {
    let mut questions = (!args.json && ask::is_answered()).then(ask::terminal);
    let name = match (&args.name, &mut questions) {
        (Some(name), _) => name.clone(),
        (None, Some(questions)) => questions.name()?,
        (None, None) => bail!("a service needs a name, as in: cargo seawall new billing"),
    };
    // Before further questions, none of which would make it better.
    name::check(&name, workspace)?;
    let mut options = Options {
        store: args.store.unwrap_or_default(),
        calls: args.calls.clone().unwrap_or_default(),
        stream: args.stream,
        port: next_port(workspace, |metadata| metadata.port, FIRST_PORT)?,
        metrics_port: next_port(workspace, |metadata| metadata.metrics_port, FIRST_METRICS_PORT)?,
        name,
    };
    // Who has said something by flags is asked no more.
    let nothing_said = args.store.is_none() && args.calls.is_none() && !args.stream;
    if let Some(questions) = questions.as_mut().filter(|_| nothing_said) {
        let known: Vec<&str> = workspace.services.iter().map(|service| service.name.as_str()).collect();
        options.store = questions.store()?;
        options.calls = questions.calls(&known)?;
        options.stream = questions.stream()?;
    }
    let distinct: BTreeSet<&String> = options.calls.iter().collect();
    if distinct.len() < options.calls.len() {
        bail!("--calls names a service twice: {}", options.calls.join(","));
    }
    Ok(options)
}

/// The next port above the highest that no service prefers.
fn next_port(workspace: &Workspace, port: fn(&Metadata) -> u16, first: u16) -> Result<u16> {
    let used = workspace.services.iter().flat_map(|service| [service.metadata.port, service.metadata.metrics_port]);
    let used: BTreeSet<u16> = used.collect();
    let highest = workspace.services.iter().map(|service| port(&service.metadata)).max();
    let from = highest.map_or(first, |highest| highest.saturating_add(1));
    (from..=u16::MAX).find(|port| !used.contains(port)).with_context(|| format!("there is no port above {from}"))
}

/// Everything that is written, none of which may be there.
fn changes(root: &Path, options: &Options) -> Result<Changes> {
    let Rendered { files, parts } = Template::of(root)?.render(&options.facts(root)?, root)?;
    let record = Record::new(options.clone(), &Rendered { files: files.clone(), parts: parts.clone() });
    let mut changes = Changes::default();
    for (path, text) in files.into_iter().chain([(Record::path(&options.name), record.to_text()?)]) {
        if root.join(&path).symlink_metadata().is_ok() {
            bail!("{path} is there already; nothing has been written");
        }
        changes.write(path, text);
    }
    for (path, part) in parts {
        let text = std::fs::read_to_string(root.join(&path)).with_context(|| format!("{path} cannot be read"))?;
        if parts::find(&text, &part).is_some() {
            bail!("{path} has a part for {} already; nothing has been written", options.name);
        }
        let changed = parts::put_in(&text, &part).with_context(|| format!("{path} cannot be added to"))?;
        changes.write(path, changed);
    }
    Ok(changes)
}

/// Has cargo bring `Cargo.lock` up to date with the packages that there are, where there is one. Fails if the
/// manifests do not hold.
pub(crate) fn lock(root: &Path) -> Result<()> {
    if !root.join("Cargo.lock").is_file() {
        return Ok(());
    }
    let mut cargo = Command::new(cargo());
    cargo.current_dir(root).args(["metadata", "--format-version", "1", "--offline"]).stdin(Stdio::null());
    let output = cargo.output().context("cargo cannot be run")?;
    if !output.status.success() {
        bail!("cargo does not take the workspace as it would be: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Service;

    #[test]
    fn ports_come_after_those_of_the_others() {
        let service = |port, metrics_port| {
            let metadata = Metadata { port, metrics_port, ..Metadata::default() };
            Service { name: String::new(), manifest: "".into(), metadata }
        };
        let workspace = |services: &[(u16, u16)]| Workspace {
            root: "".into(),
            services: services.iter().map(|(port, metrics)| service(*port, *metrics)).collect(),
        };
        let port = |services: &[(u16, u16)]| next_port(&workspace(services), |metadata| metadata.port, 50051);
        assert_eq!(port(&[]).unwrap(), 50051);
        assert_eq!(port(&[(50051, 1), (50052, 50053)]).unwrap(), 50054);
        assert!(port(&[(u16::MAX, 1)]).is_err());
    }
}
