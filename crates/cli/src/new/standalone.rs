//! `cargo seawall new --standalone`: a workspace of its own that depends on Seawall.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, Result, bail};

use super::{lock, name};
use crate::template::Template;
use crate::template::changes::Changes;
use crate::template::sections::Facts;
use crate::terminal::{self, BOLD, styled};
use crate::workspace::Workspace;

/// The manifest of Seawall's own workspace, where versions and lints are from.
const MANIFEST: &str = include_str!("../../../../Cargo.toml");
/// What a workspace has just as Seawall's own has it.
const SAME: [(&str, &str); 6] = [
    (".clippy.toml", include_str!("../../../../.clippy.toml")),
    (".rustfmt.toml", include_str!("../../../../.rustfmt.toml")),
    ("rust-toolchain.toml", include_str!("../../../../rust-toolchain.toml")),
    ("deploy/Dockerfile", include_str!("../../../../deploy/Dockerfile")),
    ("proto/seawall/auth/v1/auth.proto", include_str!("../../../../proto/seawall/auth/v1/auth.proto")),
    ("proto/seawall/policy/v1/policy.proto", include_str!("../../../../proto/seawall/policy/v1/policy.proto")),
];

/// Where Seawall is taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Path,
    Git { url: String, rev: Option<String> },
    Version(String),
}

impl FromStr for Source {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text.split_once('=') {
            None if text == "path" => Self::Path,
            Some(("git", from)) if !from.is_empty() => match from.split_once('#') {
                Some((url, rev)) => Self::Git { url: url.to_owned(), rev: Some(rev.to_owned()) },
                None => Self::Git { url: from.to_owned(), rev: None },
            },
            Some(("version", version)) if !version.is_empty() => Self::Version(version.to_owned()),
            _ => bail!("take path, git=URL, git=URL#REVISION or version=VERSION"),
        })
    }
}

pub(super) fn run(folder: &Path, source: &Source, dry_run: bool) -> Result<ExitCode> {
    let here = std::env::current_dir().context("the current folder cannot be read")?;
    // By name, because it is not there yet.
    let parent = here.join(folder.parent().unwrap_or(Path::new("")));
    let parent = parent.canonicalize().with_context(|| format!("{} is no folder", parent.display()))?;
    let last = folder.file_name().and_then(|last| last.to_str());
    let last = last.with_context(|| format!("{} does not end with a name", folder.display()))?;
    name::check_form(last)?;
    let root = parent.join(last);
    if root.is_dir() && root.read_dir()?.next().is_some() || root.is_file() {
        bail!("{} is there already, and not empty; nothing has been written", root.display());
    }
    let seawall = if *source == Source::Path { Some(seawall()?) } else { None };
    if let Some(seawall) = seawall.as_ref().filter(|seawall| root.starts_with(seawall)) {
        bail!("{} is within the workspace {}; choose a folder outside of it", root.display(), seawall.display());
    }
    let changes = changes(&root, last, source, seawall.as_deref())?;
    changes.check(&root)?;
    for (verb, path) in changes.summary(&root) {
        terminal::status(verb, root.join(path).display());
    }
    if dry_run {
        terminal::warning("Dry run", "nothing has been written");
        return Ok(ExitCode::SUCCESS);
    }
    let is_new = !root.is_dir();
    if is_new {
        std::fs::create_dir(&root).with_context(|| format!("{} cannot be made", root.display()))?;
    }
    if let Err(error) = changes.apply(&root, || lock(&root)) {
        if is_new {
            let _ = std::fs::remove_dir(&root);
        }
        return Err(error);
    }
    terminal::print("")?;
    terminal::print(styled(BOLD, "Next"))?;
    terminal::print(format!("cd {}", folder.display()))?;
    if let Some(install) = install(source) {
        terminal::print(install)?;
    }
    terminal::print("cargo seawall new billing")?;
    terminal::print("cargo seawall up")?;
    Ok(ExitCode::SUCCESS)
}

/// The checkout of Seawall around the current folder.
fn seawall() -> Result<PathBuf> {
    let root = Workspace::find().map(|workspace| workspace.root).ok();
    root.filter(|root| root.join("crates/cli/Cargo.toml").is_file() && root.join("crates/server/Cargo.toml").is_file())
        .context(
            "there is no checkout of Seawall around this folder to depend on; say --from git=URL or --from version=…",
        )
}

fn changes(root: &Path, name: &str, source: &Source, seawall: Option<&Path>) -> Result<Changes> {
    let template = Template::built_in();
    let path = seawall.map(|seawall| relative(root, seawall));
    let (ours, others): (Vec<String>, Vec<String>) =
        inherited(&template).into_iter().partition(|name| name.starts_with("seawall-"));
    let ours: Vec<String> = ours.iter().map(|name| dependency(name, source, path.as_deref())).collect();
    let others: Result<Vec<&str>> = others.iter().map(|name| line(name)).collect();
    let words = vec![
        ("__name__", name.to_owned()),
        ("__seawall__", ours.join("\n")),
        ("__others__", others?.join("\n")),
        ("__lints__", lints()),
        ("__rust_version__", line("rust-version")?.split('"').nth(1).unwrap_or_default().to_owned()),
        ("__seawall_path__", path.unwrap_or_default()),
        ("__install__", install(source).unwrap_or_default()),
    ];
    let flags = if *source == Source::Path { BTreeSet::from(["path"]) } else { BTreeSet::new() };
    let facts = Facts { flags, words, calls: Vec::new() };
    let mut changes = Changes::default();
    for (path, text) in template.render_folder("standalone", &facts)? {
        changes.write(path, text);
    }
    for (path, text) in SAME {
        changes.write(path, text);
    }
    // The versions that this checkout is tested with. From elsewhere, cargo chooses.
    if let Some(lock) = seawall.and_then(|seawall| std::fs::read_to_string(seawall.join("Cargo.lock")).ok()) {
        changes.write("Cargo.lock", lock);
    }
    Ok(changes)
}

/// What the manifests of the templates leave for the workspace to say.
fn inherited(template: &Template) -> BTreeSet<String> {
    let of_package = ["version", "edition", "rust-version", "license", "publish"];
    let lines = template.texts("Cargo.toml").flat_map(str::lines);
    let names = lines.filter_map(|line| line.strip_suffix(".workspace = true"));
    names.filter(|name| !of_package.contains(name) && !name.starts_with("__")).map(str::to_owned).collect()
}

/// How one of Seawall's crates is depended on.
fn dependency(name: &str, source: &Source, path: Option<&str>) -> String {
    let folder = name.trim_start_matches("seawall-");
    match source {
        Source::Path => format!("{name} = {{ path = \"{}/crates/{folder}\" }}", path.unwrap_or_default()),
        Source::Git { url, rev: None } => format!("{name} = {{ git = {url:?} }}"),
        Source::Git { url, rev: Some(rev) } => format!("{name} = {{ git = {url:?}, rev = {rev:?} }}"),
        Source::Version(version) => format!("{name} = {version:?}"),
    }
}

/// How `cargo seawall` comes to be, unless `.cargo/config.toml` says it.
fn install(source: &Source) -> Option<String> {
    match source {
        Source::Path => None,
        Source::Git { url, rev: None } => Some(format!("cargo install --locked --git {url} seawall-cli")),
        Source::Git { url, rev: Some(rev) } => {
            Some(format!("cargo install --locked --git {url} --rev {rev} seawall-cli"))
        }
        Source::Version(version) => Some(format!("cargo install --locked seawall-cli --version {version}")),
    }
}

/// The line of Seawall's manifest that gives this name its value.
fn line(name: &str) -> Result<&'static str> {
    let beginning = format!("{name} = ");
    let mut lines = MANIFEST.lines();
    lines.find(|line| line.starts_with(&beginning)).with_context(|| format!("Seawall's manifest does not say {name}"))
}

/// The lints and profiles of Seawall's manifest, without what is for its own checks alone.
fn lints() -> String {
    let is_wanted = |paragraph: &&str| {
        ["[workspace.lints.", "[profile.dev", "[profile.release]"].iter().any(|table| paragraph.contains(table))
    };
    let paragraphs: Vec<&str> = MANIFEST.split("\n\n").filter(is_wanted).collect();
    let text = paragraphs.join("\n\n");
    text.lines().filter(|line| !line.starts_with("unexpected_cfgs")).map(|line| format!("{line}\n")).collect()
}

/// The way from one folder to another, both absolute.
fn relative(from: &Path, to: &Path) -> String {
    let shared = from.components().zip(to.components()).take_while(|(from, to)| from == to).count();
    let up = from.components().skip(shared).map(|_| "..".into());
    let way: PathBuf = up.chain(to.components().skip(shared).map(|part| PathBuf::from(part.as_os_str()))).collect();
    way.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_a_path_git_or_a_version() {
        let git = |rev: Option<&str>| Source::Git { url: "https://x.example/s".into(), rev: rev.map(str::to_owned) };
        assert_eq!("path".parse::<Source>().unwrap(), Source::Path);
        assert_eq!("git=https://x.example/s".parse::<Source>().unwrap(), git(None));
        assert_eq!("git=https://x.example/s#abc".parse::<Source>().unwrap(), git(Some("abc")));
        assert_eq!("version=0.1.0".parse::<Source>().unwrap(), Source::Version("0.1.0".into()));
        for bad in ["", "git", "git=", "version=", "svn=x", "path=x"] {
            assert!(bad.parse::<Source>().is_err(), "{bad}");
        }
        assert_eq!(
            dependency("seawall-error", &git(Some("abc")), None),
            "seawall-error = { git = \"https://x.example/s\", rev = \"abc\" }"
        );
        assert_eq!(
            dependency("seawall-error", &Source::Path, Some("../s")),
            "seawall-error = { path = \"../s/crates/error\" }"
        );
    }

    #[test]
    fn a_way_leads_from_one_folder_to_another() {
        assert_eq!(relative(Path::new("/a/acme"), Path::new("/a/seawall")), "../seawall");
        assert_eq!(relative(Path::new("/a/b/acme"), Path::new("/c")), "../../../c");
    }

    #[test]
    fn every_source_makes_manifests_that_hold() {
        for source in ["git=https://x.example/s", "version=0.1.0"] {
            let source: Source = source.parse().unwrap();
            let words = changes(Path::new("/a/acme"), "acme", &source, None).unwrap();
            let manifest: toml::Table = words.text("Cargo.toml").unwrap().parse().unwrap();
            let dependencies = manifest["workspace"]["dependencies"].as_table().unwrap();
            for name in ["acme-proto", "seawall-server", "seawall-codegen", "tonic", "prost"] {
                assert!(dependencies.contains_key(name), "{name} is not in {dependencies:?}");
            }
            assert_eq!(manifest["workspace"]["metadata"]["seawall"]["package"].as_str(), Some("acme"));
            assert!(manifest["profile"]["dev"].is_table() && manifest["workspace"]["lints"]["rust"].is_table());
            let readme = words.text("README.md").unwrap();
            assert!(readme.contains("cargo install --locked") && !readme.contains("__"), "{readme}");
        }
    }
}
