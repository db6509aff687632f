//! `cargo seawall new`: a further service, from the template.

mod compose;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::compile::cargo;
use crate::lint::succeed;
use crate::terminal::{self, BOLD, styled};
use crate::workspace::Workspace;

/// Names that the language has already. A package is a crate, so it cannot have one of them.
const KEYWORDS: [&str; 51] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true",
    "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];
/// Names that would stand in the way of something else of that name: a crate, an argument, a section of
/// the settings, or a package that contracts name by its first part.
const RESERVED: [&str; 15] = [
    "test",
    "std",
    "core",
    "alloc",
    "docker",
    "google",
    "jaeger",
    "policy",
    "postgres",
    "redis",
    "seawall",
    "server",
    "sql",
    "telemetry",
    "up",
];
/// The ports of the first service of a workspace.
const FIRST_PORT: u16 = 50051;
const FIRST_METRICS_PORT: u16 = 9464;

/// Adds a service to this workspace, from templates/service.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  cargo seawall new billing     services/billing and proto/seawall/billing, ready for `cargo seawall up`")]
pub(crate) struct Args {
    /// Lower-case letters and digits, such as billing
    name: String,
}

/// A file to be written.
struct File {
    path: PathBuf,
    contents: String,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let name = args.name.as_str();
    check_name(name)?;
    if workspace.services.iter().any(|service| service.name == name) {
        bail!("there is a service named {name} already; choose another name");
    }
    let template = workspace.root.join("templates").join("service");
    let words = words(name, &workspace)?;
    let files = render(&template, &workspace.root, &words)?;
    if let Some(taken) = files.iter().find(|file| file.path.exists()) {
        bail!("{} is there already; nothing has been written", taken.path.display());
    }
    let changes = compose::changes(&workspace.root, &words)?;
    let written = files.iter().map(|file| ("Created", file)).chain(changes.iter().map(|file| ("Changed", file)));
    for (word, file) in written {
        write(file)?;
        terminal::status(word, file.path.strip_prefix(&workspace.root).unwrap_or(&file.path).display());
    }
    let mut format = Command::new(cargo());
    succeed(
        format.current_dir(&workspace.root).args(["fmt", "--package", name]),
        "the new service cannot be formatted",
    )?;
    terminal::print("")?;
    terminal::print(styled(BOLD, "Next"))?;
    terminal::print(format!("cargo seawall up {name}"))?;
    terminal::print(format!("cargo seawall test -p {name}"))?;
    Ok(ExitCode::SUCCESS)
}

fn check_name(name: &str) -> Result<()> {
    let begins_well = name.starts_with(|c: char| c.is_ascii_lowercase());
    if !begins_well || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()) {
        bail!("{name:?} cannot be the name of a service; take lower-case letters and digits, such as billing2");
    }
    if KEYWORDS.contains(&name) || RESERVED.contains(&name) {
        bail!("{name:?} cannot be the name of a service, because it means something else already; choose another");
    }
    Ok(())
}

/// What stands in the template, and what takes its place.
fn words(name: &str, workspace: &Workspace) -> Result<Vec<(&'static str, String)>> {
    let used = workspace.services.iter().flat_map(|service| [service.metadata.port, service.metadata.metrics_port]);
    let used: BTreeSet<u16> = used.collect();
    let highest = |port: fn(&crate::workspace::Metadata) -> u16| {
        workspace.services.iter().map(|service| port(&service.metadata)).max()
    };
    let port = next_port(highest(|metadata| metadata.port), FIRST_PORT, &used)?;
    let metrics_port = next_port(highest(|metadata| metadata.metrics_port), FIRST_METRICS_PORT, &used)?;
    let pascal = name[..1].to_uppercase() + &name[1..];
    Ok(vec![
        ("__name__", name.to_owned()),
        ("__Name__", pascal),
        ("__port__", port.to_string()),
        ("__metrics_port__", metrics_port.to_string()),
    ])
}

/// The next port above the highest that no service prefers.
fn next_port(highest: Option<u16>, first: u16, used: &BTreeSet<u16>) -> Result<u16> {
    let from = highest.map_or(first, |highest| highest.saturating_add(1));
    (from..=u16::MAX).find(|port| !used.contains(port)).with_context(|| format!("there is no port above {from}"))
}

/// All files of the template, by path, with the words in their place.
fn render(template: &Path, root: &Path, words: &[(&str, String)]) -> Result<Vec<File>> {
    let mut files = Vec::new();
    let mut folders = vec![template.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = folder.read_dir().with_context(|| format!("{} cannot be read", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let contents =
                std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
            let below = path.strip_prefix(template)?.to_str().context("a path in the template is no text")?;
            files.push(File { path: root.join(fill_in(below, words)), contents: fill_in(&contents, words) });
        }
    }
    if files.is_empty() {
        bail!("{} is empty", template.display());
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn fill_in(text: &str, words: &[(&str, String)]) -> String {
    words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value))
}

fn write(file: &File) -> Result<()> {
    let folder = file.path.parent().context("a file has no folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    std::fs::write(&file.path, &file.contents).with_context(|| format!("{} cannot be written", file.path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::{Metadata, Service};

    #[test]
    fn names_that_cannot_be_are_refused() {
        for name in [
            "", "Billing", "2pay", "pay-out", "pay_out", "../x", "bïlling", "type", "gen", "docker", "up", "google",
            "policy", "seawall",
        ] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for name in ["billing", "pay2", "x"] {
            check_name(name).unwrap();
        }
    }

    #[test]
    fn ports_come_after_those_of_the_others() {
        assert_eq!(next_port(None, 50051, &BTreeSet::new()).unwrap(), 50051);
        assert_eq!(next_port(Some(50052), 50051, &[50053].into()).unwrap(), 50054);
        assert!(next_port(Some(u16::MAX), 1, &[u16::MAX].into()).is_err());
    }

    #[test]
    fn the_words_are_filled_in_in_paths_and_contents() {
        let root = tempfile::tempdir().unwrap();
        let template = root.path().join("templates/service");
        std::fs::create_dir_all(template.join("services/__name__")).unwrap();
        std::fs::write(template.join("services/__name__/a.toml"), "__name__ __Name__ __port__ __metrics_port__")
            .unwrap();
        let user = Metadata { port: 50051, metrics_port: 9464, ..Metadata::default() };
        let services = vec![Service { name: "user".into(), manifest: "".into(), metadata: user }];
        let workspace = Workspace { root: root.path().to_owned(), services };
        let files = render(&template, root.path(), &words("billing", &workspace).unwrap()).unwrap();
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].path, root.path().join("services/billing/a.toml"));
        assert_eq!(files[0].contents, "billing Billing 50052 9465");
    }
}
