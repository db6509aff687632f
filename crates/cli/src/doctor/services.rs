//! The settings of each service, of which the service itself says what is wrong with them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::answer;
use super::finding::{Findings, Level};
use crate::environment::{self, Surroundings};
use crate::ports::local;
use crate::workspace::{Service, Workspace};

const SETTINGS: &str = "settings";
const PRODUCTION: &str = "settings for development alone";

/// Asks each service: with what `up` would set, or for production with what is set.
pub(super) async fn check(
    workspace: &Workspace,
    prebuilt: Option<&Path>,
    for_production: bool,
    findings: &mut Findings,
) -> Result<()> {
    let about = if for_production { PRODUCTION } else { SETTINGS };
    for service in &workspace.services {
        let Some(program) = program(workspace, prebuilt, &service.name) else {
            // For production, not to know is no good answer.
            let level = if for_production { Level::Problem } else { Level::Note };
            let what = format!("{} is not built, so that its settings are not known", service.name);
            findings.add(about, level, what, format!("cargo build --package {}, and again", service.name));
            continue;
        };
        let mut command = Command::new(&program);
        // Relative paths in settings are those of who runs it.
        command.arg("--check");
        if for_production {
            command.arg("--production");
        }
        environment(workspace, service, for_production, &mut command);
        match answer(command).await {
            Some(output) if output.status.success() => {
                let good = if for_production { "nothing" } else { "its settings are good" };
                findings.ok(about, format!("{}: {good}", service.name));
            }
            Some(output) if is_older(&output.stderr) => {
                let what = format!("{} was built before it could tell", service.name);
                findings.add(about, Level::Problem, what, format!("cargo build --package {}, and again", service.name));
            }
            Some(output) => mistakes(about, &service.name, &String::from_utf8_lossy(&output.stderr), findings),
            None => {
                let what = format!("{} does not say: {} cannot be run", service.name, program.display());
                findings.add(about, Level::Problem, what, format!("cargo build --package {}", service.name));
            }
        }
    }
    Ok(())
}

/// Whether the program does not know what it is asked.
fn is_older(said: &[u8]) -> bool {
    String::from_utf8_lossy(said).contains("unexpected argument '--production'")
}

/// One finding a mistake, such as `  - tls.cert (SEAWALL_TLS_CERT): must be set`.
fn mistakes(about: &'static str, service: &str, said: &str, findings: &mut Findings) {
    let lines: Vec<&str> = said.lines().filter_map(|line| line.trim().strip_prefix("- ")).collect();
    if lines.is_empty() {
        let said = said.trim().trim_start_matches(&format!("{service}: ")).to_owned();
        let fix = format!("see its settings with: cargo run --package {service} -- --settings");
        return findings.add(about, Level::Problem, format!("{service}: {said}"), fix);
    }
    for line in lines {
        let (setting, must) = line.split_once(": must be ").unwrap_or((line, ""));
        let fix = match (variable(setting), must) {
            (_, "") => format!("see its settings with: cargo run --package {service} -- --settings"),
            (Some(variable), must) if must.starts_with("set") => format!("{variable} must be {must}"),
            (Some(variable), must) => format!("set {variable} to {must}"),
            (None, must) => format!("it must be {must}"),
        };
        let what = if must.is_empty() { line } else { setting };
        findings.add(about, Level::Problem, format!("{service}: {what}"), fix);
    }
}

/// The variable that a mistake names.
fn variable(setting: &str) -> Option<&str> {
    let start = setting.find("SEAWALL_")?;
    setting[start..].split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()
}

/// What was built last, or what lies in the folder.
fn program(workspace: &Workspace, prebuilt: Option<&Path>, name: &str) -> Option<PathBuf> {
    if let Some(folder) = prebuilt {
        return folder.canonicalize().ok().map(|folder| folder.join(name)).filter(|program| program.is_file());
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.root.join("target"), PathBuf::from);
    let built = ["debug", "release"].map(|profile| target.join(profile).join(name));
    let age = |program: &PathBuf| program.metadata().and_then(|data| data.modified()).ok();
    built.into_iter().filter(|program| program.is_file()).max_by_key(age)
}

/// Without what the service would refuse because it is for others; as `up` starts it, unless for production.
fn environment(workspace: &Workspace, service: &Service, for_production: bool, command: &mut Command) {
    let addresses: BTreeMap<String, SocketAddr> =
        workspace.services.iter().map(|service| (service.name.clone(), local(service.metadata.port))).collect();
    let around = Surroundings {
        listen: local(service.metadata.port),
        metrics_listen: local(service.metadata.metrics_port),
        addresses: &addresses,
        known: &workspace.services,
        otlp: None,
        sql_url: None,
        redis_url: None,
        tls: None,
    };
    let inherited = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let changes = environment::changes(service, &around, inherited);
    for name in &changes.remove {
        command.env_remove(name);
    }
    if !for_production {
        command.envs(&changes.set);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mistake_of_a_service_is_a_finding_with_its_fix() {
        let said = "order: 3 mistakes in the settings:\n  - server.admin (SEAWALL_SERVER_ADMIN): must be off or read, since x\n  \
                    - tls.cert (SEAWALL_TLS_CERT): must be set, since y\n  - server.lisen (in prod.toml): unknown; did you mean z?";
        let mut findings = Findings::default();
        mistakes(PRODUCTION, "order", said, &mut findings);
        let json = serde_json::to_value(&findings).unwrap();
        let of = |index: usize, key: &str| json["findings"][index][key].as_str().unwrap().to_owned();
        assert_eq!(of(0, "what"), "order: server.admin (SEAWALL_SERVER_ADMIN)");
        assert_eq!(of(0, "fix"), "set SEAWALL_SERVER_ADMIN to off or read, since x");
        assert_eq!(of(1, "fix"), "SEAWALL_TLS_CERT must be set, since y");
        assert_eq!(of(2, "what"), "order: server.lisen (in prod.toml): unknown; did you mean z?");
        assert_eq!(json["problems"], 3);
    }

    #[test]
    fn what_is_no_list_is_told_as_it_is() {
        let mut findings = Findings::default();
        mistakes(SETTINGS, "order", "order: the contracts are none\n", &mut findings);
        let json = serde_json::to_value(&findings).unwrap();
        assert_eq!(json["findings"][0]["what"], "order: the contracts are none");
    }
}
