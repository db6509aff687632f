//! The example services are what the template makes: the same files, modules and kinds of tests, and the same
//! code where nothing in it is of the domain.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::workspace::Workspace;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The files of a service, with its name as `NAME`, its methods and what it stores left out.
fn files(root: &Path, name: &str) -> BTreeSet<String> {
    let folder = root.join("services").join(name);
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.clone()];
    while let Some(next) = folders.pop() {
        for entry in next.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let path = path.strip_prefix(&folder).unwrap().to_str().unwrap();
                found.insert(path.replace(&format!("tests/{name}/"), "tests/NAME/"));
            }
        }
    }
    found
}

/// The names of methods' files: every module that has tests of the same name.
fn methods(files: &BTreeSet<String>) -> BTreeSet<&str> {
    let modules = files.iter().filter_map(|path| path.strip_prefix("src/")?.strip_suffix(".rs"));
    modules.filter(|module| files.contains(&format!("tests/NAME/{module}.rs"))).collect()
}

/// The code without comments, with what is of the domain called the same in both.
fn code(root: &Path, name: &str, file: &str, words: &[(&str, &str)]) -> Vec<String> {
    let text = std::fs::read_to_string(root.join("services").join(name).join(file)).unwrap();
    let text = words.iter().fold(text, |text, (from, to)| text.replace(from, to));
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
    lines.map(str::to_owned).collect()
}

#[test]
fn user_has_every_file_that_the_template_makes() {
    let workspace = Workspace::new();
    workspace.done(&["new", "billing"]);
    let (made, user) = (files(workspace.root(), "billing"), files(&root(), "user"));
    let methods = methods(&user);
    assert!(methods.contains("create") && methods.contains("import"), "{methods:?}");
    for path in &made {
        let expected = match path.as_str() {
            // What it was made by, of which there is none in what was written by hand.
            ".template.json" => continue,
            "migrations/0001_items.sql" => "migrations/0001_users.sql",
            // Tests of the program that is run have files of their own there.
            "tests/NAME/process.rs" => "tests/canaries.rs",
            path => path,
        };
        assert!(user.contains(expected), "services/user has no {expected}, which the template has as {path}");
    }
    // And the other way round: what is further in user is methods and their tests.
    let of_methods = |path: &&String| {
        let module = path.rsplit('/').next().unwrap().trim_end_matches(".rs");
        !methods.contains(module)
    };
    let is_known = |path: &&String| {
        let is_of_program = path.starts_with("tests/") && !path.starts_with("tests/NAME/");
        *path == "migrations/0001_users.sql" || is_of_program
    };
    for path in user.iter().filter(of_methods).filter(|path| !is_known(path)) {
        assert!(made.contains(path), "the template has no {path}, which services/user has");
    }
}

#[test]
fn order_has_every_file_that_the_template_makes_for_a_service_that_calls_another() {
    let workspace = Workspace::new();
    workspace.done(&["new", "billing", "--calls", "user", "--stream"]);
    let (made, order) = (files(workspace.root(), "billing"), files(&root(), "order"));
    let elsewhere = [
        (".template.json", "Cargo.toml"),
        ("migrations/0001_items.sql", "migrations/0001_orders.sql"),
        ("src/create.rs", "src/place.rs"),
        ("src/export.rs", "src/watch.rs"),
        // PlaceOrder is the one method that asks, so it does it itself.
        ("src/peers.rs", "src/place.rs"),
        ("src/record.rs", "src/stored.rs"),
        ("tests/NAME/create.rs", "tests/NAME/place.rs"),
        ("tests/NAME/export.rs", "tests/NAME/watch.rs"),
        ("tests/NAME/peers.rs", "tests/NAME/user_service.rs"),
        ("tests/NAME/process.rs", "tests/shop.rs"),
    ];
    for path in &made {
        let expected = elsewhere.iter().find(|(ours, _)| ours == path).map_or(path.as_str(), |(_, theirs)| theirs);
        assert!(order.contains(expected), "services/order has no {expected}, which the template has as {path}");
    }
}

#[test]
fn manifests_say_the_same_things() {
    let workspace = Workspace::new();
    workspace.done(&["new", "billing"]);
    let keys = |root: &Path, name: &str| {
        let manifest = std::fs::read_to_string(root.join("services").join(name).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        let package = manifest["package"].as_table().unwrap();
        let about = package["metadata"]["seawall"].as_table().unwrap();
        let keys = package.keys().chain(about.keys()).chain(manifest.keys());
        keys.cloned().collect::<BTreeSet<_>>()
    };
    assert_eq!(keys(workspace.root(), "billing"), keys(&root(), "user"));
}

#[test]
fn code_that_is_not_of_the_domain_is_the_same() {
    let workspace = Workspace::new();
    workspace.done(&["new", "billing"]);
    let made = [("billing", "user"), ("Billing", "User"), ("Items", "Users"), ("items", "users"), ("Item", "User")];
    let made = [&made[..], &[("50053", "50051"), ("9466", "9464")]].concat();
    for file in ["src/main.rs", "src/lib.rs"] {
        let is_module_of_user = |line: &String| {
            let module = line.strip_prefix("mod ").and_then(|line| line.strip_suffix(';'));
            module.is_some_and(|module| ["batch", "delete", "import", "update"].contains(&module))
        };
        let mut user = code(&root(), "user", file, &[]);
        user.retain(|line| !is_module_of_user(line));
        assert_eq!(code(workspace.root(), "billing", file, &made), user, "{file}");
    }
    // Each method is one line to its module, in both.
    for (root, name) in [(workspace.root(), "billing"), (&*root(), "user"), (&*root(), "order")] {
        let lines = code(root, name, "src/service.rs", &[]);
        let at = lines.iter().enumerate().filter(|(_, line)| line.starts_with("async fn "));
        for (at, line) in at {
            assert!(lines[at + 1].starts_with("Ok(Response::new(") && lines[at + 2] == "}", "{name}: {line}");
        }
    }
}
