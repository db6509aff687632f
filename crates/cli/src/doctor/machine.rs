//! The machine: toolchain, tools, disk, Docker.

use std::path::Path;

use nix::sys::statvfs::statvfs;

use super::finding::{Findings, Level};
use super::first_line;
use crate::tools::find;
use crate::workspace::Workspace;

/// What a build of everything with its tests takes, and with less than which it is likely to fail.
const DISK_GIB_WANTED: u64 = 10;
const DISK_GIB_MIN: u64 = 2;
const CC_FIX: &str = "install one: apt-get install gcc libc6-dev, dnf install gcc, or xcode-select --install";

pub(super) async fn check(workspace: &Workspace, findings: &mut Findings) {
    toolchain(&workspace.root, findings).await;
    tools(workspace, findings).await;
    disk(&workspace.root, findings);
    docker(workspace, findings).await;
}

async fn toolchain(root: &Path, findings: &mut Findings) {
    const ABOUT: &str = "toolchain";
    let wanted = wanted_rust(root);
    match (first_line("rustc", &["--version"]).await, wanted) {
        (None, _) => findings.add(ABOUT, Level::Problem, "rustc is not on PATH", "install Rust: https://rustup.rs"),
        (Some(line), Some(wanted)) if version(&line) < version(&wanted) => {
            let fix = format!("rustup toolchain install {wanted}, or rustup update");
            findings.add(
                ABOUT,
                Level::Problem,
                format!("{line} is older than {wanted}, which Cargo.toml asks for"),
                fix,
            );
        }
        (Some(line), _) => findings.ok(ABOUT, line),
    }
    // ring and SQLite are built by it.
    match ["cc", "gcc", "clang"].into_iter().find(|name| find(name).is_some()) {
        Some(name) => findings.ok(ABOUT, format!("{name}, for what is written in C")),
        None => {
            findings.add(ABOUT, Level::Problem, "there is no C compiler, which SQLite and TLS are built by", CC_FIX);
        }
    }
    let own = env!("CARGO_PKG_VERSION");
    match workspace_version(root) {
        Some(version) if version != own => findings.add(
            ABOUT,
            Level::Warning,
            format!("this is cargo seawall {own}, and the workspace is {version}"),
            "run the one of the workspace: cargo seawall, in its folder",
        ),
        _ => findings.ok(ABOUT, format!("cargo seawall {own}")),
    }
}

async fn tools(workspace: &Workspace, findings: &mut Findings) {
    const ABOUT: &str = "tools";
    let tools = workspace.layout().tools();
    for (name, arguments, fix) in [
        ("git", &["--version"][..], "install git: contracts are compared with what it has"),
        ("grpcurl", &["-version"], "cargo seawall test installs it; cargo seawall call does without"),
        ("buf", &["--version"], "cargo seawall lint installs it"),
    ] {
        match tools.find(name) {
            Some(program) => {
                let line = first_line(&program.display().to_string(), arguments).await.unwrap_or_default();
                let line = line.trim_start_matches(name).trim();
                findings.ok(ABOUT, format!("{name} {line} ({})", program.display()).replace("  ", " "));
            }
            None => findings.add(ABOUT, Level::Note, format!("{name} is not here"), fix),
        }
    }
}

fn disk(root: &Path, findings: &mut Findings) {
    const ABOUT: &str = "disk";
    let Ok(stat) = statvfs(root) else { return };
    // The types of these differ from system to system.
    #[allow(clippy::useless_conversion, reason = "they are of other types elsewhere")]
    let free = u64::from(stat.blocks_available()).saturating_mul(u64::from(stat.fragment_size())) >> 30;
    let what = format!("{free} GiB are free at {}", root.display());
    let level = match free {
        _ if free < DISK_GIB_MIN => Level::Problem,
        _ if free < DISK_GIB_WANTED => Level::Warning,
        _ => return findings.ok(ABOUT, what),
    };
    let fix =
        format!("a build with tests takes up to {DISK_GIB_WANTED} GiB; cargo clean frees what old ones have left");
    findings.add(ABOUT, level, what, fix);
}

async fn docker(workspace: &Workspace, findings: &mut Findings) {
    const ABOUT: &str = "docker";
    if !workspace.root.join("docker-compose.yml").is_file() {
        return;
    }
    let without = "only `cargo seawall up docker` needs one; without, `cargo seawall up` runs the same services";
    match first_line("docker", &["version", "--format", "{{.Server.Version}}"]).await {
        Some(version) => findings.ok(ABOUT, format!("engine {version}")),
        None if find("docker").is_some() => {
            findings.add(
                ABOUT,
                Level::Note,
                "docker is installed, and no engine answers",
                format!("start it; {without}"),
            );
        }
        None => findings.add(ABOUT, Level::Note, "there is no Docker", without),
    }
}

fn manifest(root: &Path) -> Option<toml::Table> {
    std::fs::read_to_string(root.join("Cargo.toml")).ok()?.parse().ok()
}

fn of_package(root: &Path, key: &str) -> Option<String> {
    let manifest = manifest(root)?;
    Some(manifest.get("workspace")?.get("package")?.get(key)?.as_str()?.to_owned())
}

fn wanted_rust(root: &Path) -> Option<String> {
    of_package(root, "rust-version")
}

/// Of a workspace that has this program in it; others have versions of their own.
fn workspace_version(root: &Path) -> Option<String> {
    root.join("crates/cli").is_dir().then(|| of_package(root, "version")).flatten()
}

/// The numbers of a version in a line such as `rustc 1.95.0 (59807616e 2026-04-14)`.
fn version(line: &str) -> Vec<u32> {
    let word = line.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit())).unwrap_or_default();
    let mut numbers: Vec<u32> = word.split(['.', '-', '+']).map_while(|number| number.parse().ok()).collect();
    numbers.resize(3, 0);
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(version("rustc 1.9.0 (a 2016-01-01)") < version("1.95"));
        assert!(version("rustc 1.95.0-nightly (a 2026-01-01)") >= version("1.95.0"));
        assert!(version("rustc 2.0.0") > version("1.95"));
    }
}
