//! What `new`, `rm`, `upgrade` and `add` know of a service's template.
//!
//! `templates/service` has the files of a service as they lie in the workspace, `templates/parts` what
//! stands for it in files of the workspace that are there, such as `docker-compose.yml`; `templates/standalone`
//! is a workspace without services. A workspace's own `templates` come before those in this program. `sections` is how a template is filled in, `options`
//! with what, `peers` what is known of the services that it calls, `parts` where a part stands, `record`
//! what a service keeps of all this, so that it can be undone and brought up to date.

pub(crate) mod changes;
pub(crate) mod options;
pub(crate) mod parts;
mod peers;
pub(crate) mod record;
pub(crate) mod sections;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use sections::Facts;

mod built_in {
    //! The templates as they were when this program was built.
    include!(concat!(env!("OUT_DIR"), "/templates.rs"));
}

const FOLDER: &str = "templates";
/// Files that a workspace has where it has their folder.
const OPTIONAL: &str = "deploy/k8s";

/// The files of a template, by their paths below `templates`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Template(BTreeMap<String, String>);

/// A service as its template has it, by paths from the root of the workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rendered {
    pub(crate) files: BTreeMap<String, String>,
    /// What stands for it in files that are there.
    pub(crate) parts: BTreeMap<String, String>,
}

impl Template {
    /// That of the workspace, or else the one that is in this program.
    pub(crate) fn of(root: &Path) -> Result<Self> {
        let folder = root.join(FOLDER);
        if folder.join("service").is_dir() { Self::read(&folder) } else { Ok(Self::built_in()) }
    }

    pub(crate) fn built_in() -> Self {
        Self(built_in::FILES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }

    fn read(root: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        for path in files_below(root)? {
            let text = std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
            let below = path.strip_prefix(root)?.to_str().context("a path in the template is no text")?;
            files.insert(below.to_owned(), text);
        }
        Ok(Self(files))
    }

    /// The service that the facts describe, formatted as the workspace at `root` wants it.
    pub(crate) fn render(&self, facts: &Facts, root: &Path) -> Result<Rendered> {
        let mut rendered = Rendered::default();
        for (path, text) in &self.0 {
            let filled = facts.fill_in(text).with_context(|| format!("{FOLDER}/{path} is not a template"))?;
            if filled.is_empty() {
                continue;
            }
            let path = facts.words_in(path);
            if let Some(path) = path.strip_prefix("service/").filter(|path| is_wanted(path, root)) {
                rendered.files.insert(path.to_owned(), filled);
            } else if let Some(path) = path.strip_prefix("parts/").filter(|path| root.join(path).is_file()) {
                rendered.parts.insert(path.to_owned(), filled);
            }
        }
        if rendered.files.is_empty() {
            bail!("{FOLDER}/service has no files");
        }
        format(&mut rendered.files, root)?;
        Ok(rendered)
    }

    /// The files below `folder` of the templates, filled in, by their paths there.
    pub(crate) fn render_folder(&self, folder: &str, facts: &Facts) -> Result<BTreeMap<String, String>> {
        let below = |path: &str| path.strip_prefix(folder)?.strip_prefix('/').map(|path| facts.words_in(path));
        let files = self.0.iter().filter_map(|(path, text)| Some((below(path)?, text)));
        files.map(|(path, text)| Ok((path, facts.fill_in(text)?))).collect()
    }

    /// The texts of all files of this name.
    pub(crate) fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(path, _)| path.rsplit('/').next() == Some(name)).map(|(_, text)| text.as_str())
    }
}

/// Every file below a folder, in order.
pub(crate) fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries = folder.read_dir().with_context(|| format!("{} cannot be read", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn is_wanted(path: &str, root: &Path) -> bool {
    !path.starts_with(OPTIONAL) || root.join(OPTIONAL).is_dir()
}

/// Has rustfmt format what is Rust, all files at once: names are of any length, so lines break where
/// the template cannot know.
pub(crate) fn format(files: &mut BTreeMap<String, String>, root: &Path) -> Result<()> {
    let mut running = Vec::new();
    for (path, text) in files.iter_mut().filter(|(path, _)| path.ends_with(".rs")) {
        running.push((start_rustfmt(root, text).with_context(|| format!("{path} cannot be formatted"))?, path, text));
    }
    for (child, path, text) in running {
        let output = child.wait_with_output().context("rustfmt cannot be waited for")?;
        if !output.status.success() {
            bail!("{path} cannot be formatted: {}", String::from_utf8_lossy(&output.stderr));
        }
        *text = String::from_utf8(output.stdout).context("rustfmt writes no text")?;
    }
    Ok(())
}

fn start_rustfmt(root: &Path, text: &str) -> Result<Child> {
    let mut rustfmt = Command::new("rustfmt");
    rustfmt.current_dir(root).args(["--edition", "2024", "--emit", "stdout"]);
    let mut child = rustfmt
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("rustfmt cannot be run; `rustup component add rustfmt` installs it")?;
    // rustfmt reads all before it writes, so that neither waits for the other.
    child.stdin.take().context("rustfmt has no input")?.write_all(text.as_bytes())?;
    Ok(child)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A template of these files.
    pub(crate) fn template(files: &[(&str, &str)]) -> Template {
        Template(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }

    #[test]
    fn files_and_parts_are_filled_in_and_formatted() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("compose.yml"), "").unwrap();
        let template = template(&[
            ("service/services/__name__/src/lib.rs", "//! __name__.\nfn   main() {}\n"),
            ("service/services/__name__/sql.rs", "//% if sql\n//! SQL.\n//% end\n"),
            ("service/deploy/k8s/__name__.yml", "a: b\n"),
            ("parts/compose.yml", "  __name__:\n"),
            ("parts/elsewhere.yml", "  __name__:\n"),
        ]);
        let facts = Facts { words: vec![("__name__", "billing".to_owned())], ..Facts::default() };
        let rendered = template.render(&facts, root.path()).unwrap();
        let file = ("services/billing/src/lib.rs".to_owned(), "//! billing.\nfn main() {}\n".to_owned());
        assert_eq!(rendered.files, BTreeMap::from([file]));
        assert_eq!(rendered.parts, BTreeMap::from([("compose.yml".to_owned(), "  billing:\n".to_owned())]));
    }

    #[test]
    fn the_templates_of_this_program_are_those_of_the_workspace() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        assert_eq!(Template::built_in().0, Template::of(&root).unwrap().0);
    }
}
