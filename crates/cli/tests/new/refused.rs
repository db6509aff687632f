//! What cannot be is said before anything is written.

use crate::workspace::Workspace;

/// It must be refused with these words, and leave everything as it was.
fn refused(workspace: &Workspace, arguments: &[&str], words: &str) {
    let before = workspace.tree();
    let said = workspace.seawall(arguments);
    assert_eq!(said.code, Some(1), "{arguments:?}: {}", said.err);
    assert!(said.err.contains(words), "{arguments:?}: {words:?} is not in {}", said.err);
    assert_eq!(workspace.tree(), before, "{arguments:?}");
}

#[test]
fn names_and_callees_that_cannot_be() {
    let workspace = Workspace::new();
    for name in ["Billing", "pay-out", "../pay", "/tmp/pay", "services/pay", "type", "docker", "2pay", ""] {
        refused(&workspace, &["new", name], "cannot be the name of a service");
    }
    refused(&workspace, &["new", "user"], "there is a service named user already");
    refused(&workspace, &["new", "billing", "--calls", "nobody"], "\"nobody\" is no service of this workspace");
    refused(&workspace, &["new", "billing", "--calls", "user,user"], "names a service twice");
    refused(&workspace, &["new"], "needs a name");
}

#[test]
fn a_callee_that_nothing_can_be_asked_of() {
    let workspace = Workspace::new();
    workspace.done(&["new", "quotes", "--store", "none"]);
    workspace.commit();
    refused(&workspace, &["new", "billing", "--calls", "quotes"], "has no method to ask whether something is there");
}

#[test]
fn something_that_is_in_the_way() {
    let workspace = Workspace::new();
    workspace.write("services/billing/src/lib.rs", "mine\n");
    workspace.commit();
    refused(&workspace, &["new", "billing"], "services/billing/src/lib.rs is there already");
    workspace.write("proto/seawall/pricing", "a file\n");
    workspace.commit();
    refused(&workspace, &["new", "pricing"], "is no folder");
    workspace.edit("docker-compose.yml", "  # cargo seawall new adds above this line\n", "");
    workspace.commit();
    refused(&workspace, &["new", "invoice"], "docker-compose.yml cannot be added to");
}

#[test]
fn a_tree_with_changes_that_are_not_committed() {
    let workspace = Workspace::new();
    workspace.write("services/user/new.txt", "mine\n");
    refused(&workspace, &["new", "billing"], "services/user/new.txt");
    workspace.done(&["new", "billing", "--allow-dirty"]);
    refused(&workspace, &["upgrade", "billing"], "commit or stash");
}

#[test]
fn where_there_is_no_workspace_and_where_nobody_may_write() {
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cargo-seawall"));
    let output = command.current_dir(elsewhere.path()).args(["new", "billing"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("no Cargo workspace"), "{said}");
    assert_eq!(elsewhere.path().read_dir().unwrap().count(), 0);

    let workspace = Workspace::new();
    let before = workspace.tree();
    let said = workspace.seawall_by_a_stranger(&["new", "billing", "--allow-dirty"]);
    assert!(said.code == Some(1) && said.err.contains("may not be written"), "{}", said.err);
    assert_eq!(workspace.tree(), before);
}
