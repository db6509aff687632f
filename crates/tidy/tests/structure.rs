//! The layout: who may depend on whom, what every manifest and file has.

use std::collections::BTreeMap;

use seawall_tidy::{Member, files, members, read, toml};

/// Who may depend on whom: only on what stands in an earlier row. The first row knows nobody; layers
/// do not know each other; they meet in `server` and `client`.
const ROWS: [&[&str]; 11] = [
    // What generates code, and what the generated code calls.
    &["seawall-codegen", "seawall-unary"],
    &[
        "seawall-clock",
        "seawall-config",
        "seawall-error",
        "seawall-proto",
        "seawall-backends",
        "seawall-frames",
        "seawall-headers",
        "seawall-tidy",
        "seawall-window",
    ],
    &["seawall-trace"],
    &["seawall-classify", "seawall-message", "seawall-propagation", "seawall-provenance"],
    &[
        "seawall-auth",
        "seawall-balance",
        "seawall-breaker",
        "seawall-deadline",
        "seawall-health",
        "seawall-limit",
        "seawall-profile",
        "seawall-resource",
        "seawall-retry",
        "seawall-shutdown",
        "seawall-telemetry",
    ],
    &["seawall-policy"],
    &["seawall-client", "seawall-collector", "seawall-pool", "seawall-server"],
    &["seawall-fuzz", "seawall-interop", "seawall-testkit"],
    &["seawall-attack", "seawall-cli"],
    &["services"],
    &["seawall-sim"],
];

fn row(folder: &str, name: &str) -> usize {
    let name = if folder.starts_with("services/") { "services" } else { name };
    ROWS.iter()
        .position(|row| row.contains(&name))
        .unwrap_or_else(|| panic!("{folder}: {name} has no row in crates/tidy/tests/structure.rs; give it one"))
}

#[test]
fn dependencies_point_one_way() {
    let members = members();
    let rows: BTreeMap<&str, usize> = members.iter().map(|m| (m.name.as_str(), row(&m.folder, &m.name))).collect();
    for member in &members {
        for dependency in member.dependencies("dependencies").iter().chain(&member.dependencies("build-dependencies")) {
            let Some(theirs) = rows.get(dependency.as_str()) else { continue };
            assert!(
                *theirs < rows[member.name.as_str()],
                "{}: {} must not depend on {dependency}: dependencies point one way",
                member.folder,
                member.name
            );
            assert_ne!(dependency, "seawall-testkit", "{}: testkit is for tests only", member.folder);
        }
    }
}

#[test]
fn services_know_each_other_by_contract_only() {
    let members = members();
    let services: Vec<&str> =
        members.iter().filter(|m| m.folder.starts_with("services/")).map(|m| m.name.as_str()).collect();
    // The simulation runs the services in one process, which is what it is for. Nothing depends on it.
    for member in members.iter().filter(|member| member.name != "seawall-sim") {
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for dependency in member.dependencies(table) {
                assert!(
                    !services.contains(&dependency.as_str()),
                    "{} names the service {dependency} in {table}",
                    member.folder
                );
            }
        }
    }
}

#[test]
fn versions_and_lints_stand_in_the_workspace_only() {
    for member in members() {
        assert_eq!(
            member.manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool),
            Some(true),
            "{}: [lints] workspace = true is missing",
            member.folder
        );
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, value) in member.entries(table) {
                let inherited = value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
                assert!(inherited, "{}: {name} must be `workspace = true`", member.folder);
            }
        }
    }
}

#[test]
fn no_dependency_is_named_for_nothing() {
    let members = members();
    let tables = ["dependencies", "dev-dependencies", "build-dependencies"];
    let of = |member: &Member| tables.map(|table| member.dependencies(table)).concat();
    for member in &members {
        let sources: String = files(&member.folder, ".rs").iter().map(read).collect();
        for dependency in of(member) {
            // The generated code of the contracts is not in its folder.
            let is_generated = ["prost", "prost-types", "seawall-unary", "tonic-prost"].contains(&dependency.as_str())
                && member.dependencies("build-dependencies").contains(&"seawall-codegen".to_owned());
            let is_used = sources.contains(&dependency.replace('-', "_"));
            assert!(is_used || is_generated, "{}: nothing uses {dependency}", member.folder);
        }
    }
    let used: Vec<String> = members.iter().flat_map(of).collect();
    let workspace = toml("Cargo.toml");
    for name in workspace["workspace"]["dependencies"].as_table().unwrap().keys() {
        let is_ours = members.iter().any(|member| member.name == *name);
        assert!(is_ours || used.contains(name), "Cargo.toml: nobody uses {name}");
    }
}

#[test]
fn a_crates_path_is_its_name() {
    for member in members() {
        let last = member.folder.rsplit('/').next().unwrap();
        let expected = if member.folder.starts_with("crates/") { format!("seawall-{last}") } else { last.to_owned() };
        assert_eq!(member.name, expected, "{}", member.folder);
    }
}

#[test]
fn every_file_says_what_it_is_and_stays_readable() {
    const LINES_MAX: usize = 400;
    for path in ["crates", "services"].into_iter().flat_map(|folder| files(folder, ".rs")) {
        if path.contains("/target/") {
            continue;
        }
        let text = read(&path);
        assert!(text.starts_with("//!"), "{path}: the file must open with //! and what it is");
        let is_test = path.contains("/tests/") || path.ends_with("tests.rs");
        assert!(is_test || text.lines().count() <= LINES_MAX, "{path}: longer than {LINES_MAX} lines; split it");
        assert!(!path.ends_with("/mod.rs"), "{path}: foo.rs beside foo/, no mod.rs");
    }
}

#[test]
fn the_crates_that_meet_on_the_wire_exist_once() {
    let families = ["tonic", "prost", "http", "hyper", "tower", "rustls", "opentelemetry"];
    let lock = toml("Cargo.lock");
    let packages = lock["package"].as_array().unwrap();
    for family in families {
        let versions: Vec<&str> = packages
            .iter()
            .filter(|package| package["name"].as_str() == Some(family))
            .filter_map(|package| package["version"].as_str())
            .collect();
        assert!(versions.len() <= 1, "{family} is there in several versions: {versions:?}");
    }
}
