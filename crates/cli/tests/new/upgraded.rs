//! `upgrade` with a template of the workspace's own.

use crate::workspace::Workspace;

const LIBRARY: &str = "//! The __name__ service.\n\n/// One.\npub const ONE: u8 = 1;\n\n/// Two.\npub const TWO: u8 = 2;\n\n\
                       /// Three.\npub const THREE: u8 = 3;\n";
const TEMPLATE: &str = "templates/service/services/__name__/src/lib.rs";
const OURS: &str = "services/billing/src/lib.rs";

/// With a service that its owner has edited.
fn workspace() -> Workspace {
    let workspace = Workspace::new();
    let manifest = "[package]\nname = '__name__'\n[package.metadata.seawall]\nport = __port__\nmetrics_port = \
                    __metrics_port__\n";
    workspace.write("templates/service/services/__name__/Cargo.toml", manifest);
    workspace.write(TEMPLATE, LIBRARY);
    workspace
        .write("templates/parts/docker-compose.yml", "  __name__:\n    image: a\n    restart: no\n    ports: []\n");
    workspace.commit();
    workspace.done(&["new", "billing"]);
    workspace.edit(OURS, "ONE: u8 = 1", "ONE: u8 = 11");
    workspace.edit("docker-compose.yml", "  billing:\n    image: a\n", "  billing:\n    image: mine\n");
    workspace.commit();
    workspace
}

#[test]
fn what_both_have_changed_apart_is_merged() {
    let workspace = workspace();
    assert!(workspace.seawall(&["upgrade", "billing"]).err.contains("its template has not changed"));
    workspace.edit(TEMPLATE, "THREE: u8 = 3", "THREE: u8 = 33");
    workspace.write("templates/service/services/__name__/src/more.rs", "//! More of __name__.\n");
    workspace.edit("templates/parts/docker-compose.yml", "ports: []", "ports: [1]");
    workspace.commit();
    let before = workspace.tree();
    workspace.done(&["upgrade", "billing", "--dry-run"]);
    assert_eq!(workspace.tree(), before);
    workspace.done(&["upgrade", "billing"]);
    let ours = workspace.read(OURS);
    assert!(ours.contains("ONE: u8 = 11") && ours.contains("THREE: u8 = 33"), "{ours}");
    assert_eq!(workspace.read("services/billing/src/more.rs"), "//! More of billing.\n");
    assert!(
        workspace.read("docker-compose.yml").contains("  billing:\n    image: mine\n    restart: no\n    ports: [1]\n")
    );
    // Once more it begins with what it has brought.
    workspace.commit();
    let before = workspace.tree();
    workspace.done(&["upgrade", "billing"]);
    assert_eq!(workspace.tree(), before);
}

#[test]
fn what_both_have_changed_at_one_place_is_marked() {
    let workspace = workspace();
    workspace.edit(TEMPLATE, "ONE: u8 = 1", "ONE: u8 = 111");
    workspace.commit();
    let said = workspace.seawall(&["upgrade", "billing"]);
    assert!(said.code == Some(1) && said.err.contains("services/billing/src/lib.rs: 1 place"), "{}", said.err);
    let ours = workspace.read(OURS);
    let marked = "<<<<<<< billing\npub const ONE: u8 = 11;\n=======\npub const ONE: u8 = 111;\n>>>>>>> the template\n";
    assert!(ours.contains(marked), "{ours}");
}
