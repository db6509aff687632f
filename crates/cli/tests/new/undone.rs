//! What `new` does, `rm` undoes.

use serde_json::Value;

use crate::workspace::Workspace;

/// Every combination of options.
fn combinations() -> Vec<Vec<&'static str>> {
    let mut all = Vec::new();
    for store in ["sql", "none"] {
        for calls in ["", "user", "user,order"] {
            for stream in [false, true] {
                let mut flags = vec!["--store", store];
                if !calls.is_empty() {
                    flags.extend(["--calls", calls]);
                }
                flags.extend(stream.then_some("--stream"));
                all.push(flags);
            }
        }
    }
    all
}

#[test]
fn rm_leaves_the_tree_as_it_was_before_new() {
    let workspace = Workspace::new();
    let before = workspace.tree();
    for flags in combinations() {
        let said = workspace.done(&[&["new", "billing", "--json"], &flags[..]].concat());
        let report: Value = serde_json::from_str(&said).unwrap();
        for path in report["created"].as_array().unwrap() {
            assert!(workspace.path(path.as_str().unwrap()).is_file(), "{flags:?}: {path}");
        }
        let changed = report["changed"].as_array().unwrap().len();
        assert_eq!(changed, if flags.contains(&"sql") { 3 } else { 2 }, "{flags:?}: {report}");
        assert_eq!(report["port"], 50053, "after those of user and order");

        workspace.done(&["rm", "billing", "--dry-run"]);
        assert!(workspace.path("services/billing").is_dir(), "a dry run has removed it");
        workspace.done(&["rm", "billing"]);
        assert_eq!(workspace.tree(), before, "{flags:?}");
    }
}

#[test]
fn a_dry_run_says_what_would_be_and_writes_nothing() {
    let workspace = Workspace::new();
    let before = workspace.tree();
    let said = workspace.seawall(&["new", "billing", "--dry-run"]);
    assert!(said.err.contains("Created services/billing/src/lib.rs"), "{}", said.err);
    let report: Value = serde_json::from_str(&workspace.done(&["new", "billing", "--dry-run", "--json"])).unwrap();
    assert_eq!(report["dry_run"], true);
    assert_eq!(workspace.tree(), before);
}

#[test]
fn nobody_is_asked_where_nobody_answers_and_somebody_on_a_terminal() {
    let workspace = Workspace::new();
    let said = workspace.seawall(&["new"]);
    assert!(said.err.contains("needs a name"), "{}", said.err);
    // `script` gives the program a terminal, on which these answers are typed.
    let mut script = std::process::Command::new("script");
    let program = format!("{} new --allow-dirty", env!("CARGO_BIN_EXE_cargo-seawall"));
    script.current_dir(workspace.root()).args(["--quiet", "--return", "--command", &program, "/dev/null"]);
    let mut child = script.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"quotes\nnone\nuser\nyes\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{shown}");
    assert!(shown.contains("Which services does it call, of order,user?"), "{shown}");
    let record: Value = serde_json::from_str(&workspace.read("services/quotes/.template.json")).unwrap();
    let options = &record["options"];
    assert_eq!((&options["store"], &options["stream"]), (&"none".into(), &true.into()));
    assert_eq!(options["calls"], serde_json::json!(["user"]));
}

#[test]
fn what_was_edited_is_removed_only_by_force() {
    let workspace = Workspace::new();
    let before = workspace.tree();
    workspace.done(&["new", "billing"]);
    workspace.edit("services/billing/src/get.rs", "//! GetItem.\n", "//! Mine.\n");
    workspace.write("services/billing/src/mine.rs", "//! Mine.\n");
    workspace.edit("docker-compose.yml", "args: {SERVICE: billing}\n", "args: {SERVICE: billing}\n    # Mine.\n");
    std::fs::remove_file(workspace.path("services/billing/src/list.rs")).unwrap();
    let edited = workspace.tree();
    let said = workspace.seawall(&["rm", "billing"]);
    assert_eq!(said.code, Some(1));
    for expected in ["get.rs (changed)", "mine.rs (added)", "list.rs (gone)", "docker-compose.yml (the part of billing"]
    {
        assert!(said.err.contains(expected), "{expected} is not in:\n{}", said.err);
    }
    assert_eq!(workspace.tree(), edited);
    workspace.done(&["rm", "billing", "--force"]);
    assert_eq!(workspace.tree(), before);
}

#[test]
fn what_others_call_is_removed_only_by_force() {
    let workspace = Workspace::new();
    workspace.done(&["new", "billing"]);
    workspace.done(&["new", "invoice", "--calls", "billing", "--allow-dirty"]);
    let said = workspace.seawall(&["rm", "billing"]);
    assert!(said.code == Some(1) && said.err.contains("called by invoice"), "{}", said.err);
    let said = workspace.seawall(&["rm", "nobody"]);
    assert!(said.code == Some(1) && said.err.contains("\"nobody\" is no service of this workspace"), "{}", said.err);
    let said = workspace.seawall(&["rm", "user"]);
    assert!(said.code == Some(1) && said.err.contains("called by invoice") || said.err.contains("called by order"));
    workspace.done(&["rm", "invoice"]);
    workspace.done(&["rm", "billing"]);
    let said = workspace.seawall(&["rm", "order"]);
    assert!(said.err.contains("not known what `cargo seawall new` made"), "{}", said.err);
}
