//! What a service may be called.

use std::path::Path;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

/// Names that the language has already. A package is a crate, so it cannot have one of them.
pub(crate) const KEYWORDS: [&str; 51] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true",
    "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];
/// Names that would stand in the way of something else of that name: a crate, a folder of cargo, an
/// argument, a section of the settings, a package that contracts name by its first part, or a field or
/// module of the template.
const RESERVED: [&str; 30] = [
    "alloc",
    "auth",
    "base",
    "build",
    "core",
    "default",
    "deps",
    "docker",
    "examples",
    "google",
    "grpc",
    "incremental",
    "item",
    "items",
    "jaeger",
    "kubernetes",
    "peer",
    "peers",
    "policy",
    "pool",
    "postgres",
    "proto",
    "redis",
    "seawall",
    "server",
    "sql",
    "std",
    "telemetry",
    "test",
    "tls",
];
/// Less than what PostgreSQL, DNS and Kubernetes take, with room for what they put behind it.
const LENGTH_MAX: usize = 40;

/// Fails if nothing can be called so, or something is already.
pub(super) fn check(name: &str, workspace: &Workspace) -> Result<()> {
    check_form(name)?;
    if workspace.services.iter().any(|service| service.name == name) {
        bail!("there is a service named {name} already; choose another name");
    }
    if is_dependency(name, &workspace.root) {
        bail!("{name} is a package that this workspace depends on, so no service can have its name; choose another");
    }
    Ok(())
}

/// Fails if nothing can be called so.
pub(super) fn check_form(name: &str) -> Result<()> {
    let begins_well = name.starts_with(|c: char| c.is_ascii_lowercase());
    if !begins_well || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()) {
        bail!("{name:?} cannot be the name of a service; take lower-case letters and digits, such as billing2");
    }
    if name.len() > LENGTH_MAX {
        bail!("{name:?} is too long for a name; take up to {LENGTH_MAX} letters and digits");
    }
    if KEYWORDS.contains(&name) || RESERVED.contains(&name) || name == "up" {
        bail!("{name:?} cannot be the name of a service, because it means something else already; choose another");
    }
    Ok(())
}

/// Whether `Cargo.lock` has a package of that name that comes from elsewhere.
fn is_dependency(name: &str, root: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(root.join("Cargo.lock")) else { return false };
    let Ok(lock) = text.parse::<toml::Table>() else { return false };
    let packages = lock.get("package").and_then(toml::Value::as_array);
    packages.into_iter().flatten().any(|package| {
        package.get("name").and_then(toml::Value::as_str) == Some(name) && package.get("source").is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_be_are_refused() {
        let long = "a".repeat(LENGTH_MAX + 1);
        for name in [
            "", "Billing", "2pay", "pay-out", "pay_out", "../x", "a/b", "bïlling", "type", "gen", "docker", "up",
            "google", "policy", "seawall", "build", &long,
        ] {
            assert!(check_form(name).is_err(), "{name:?}");
        }
        for name in ["billing", "pay2", "x", &long[1..]] {
            check_form(name).unwrap();
        }
    }

    #[test]
    fn a_service_is_not_named_as_what_it_is_built_from() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        assert!(is_dependency("tonic", &root) && !is_dependency("user", &root));
        let error = check("tonic", &Workspace::at(&root).unwrap()).unwrap_err().to_string();
        assert!(error.contains("depends on"), "{error}");
        assert!(check("user", &Workspace::at(&root).unwrap()).is_err());
    }
}
