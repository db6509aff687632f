//! `contract check` in a repository of its own, with a service that calls another.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const CONTRACT: &str = r#"syntax = "proto3";

package shop.user.v1;

service UserService {
  rpc GetUser(GetUserRequest) returns (GetUserResponse);
  rpc FindUser(GetUserRequest) returns (GetUserResponse);
}

message GetUserRequest {
  string user_id = 1;
}

message GetUserResponse {
  string email = 1;
  int32 age = 2;
}
"#;

/// Whether buf is to be left out, as `cargo seawall test` asks for where it cannot be had.
fn is_left_out() -> bool {
    if std::env::var("TEST_SKIP_BUF").is_ok_and(|skip| skip == "1") {
        println!("skipped: buf is to be left out");
        return true;
    }
    let found = Command::new("buf").arg("--version").output();
    assert!(found.is_ok(), "buf is not on PATH; `cargo seawall test` gets it and sets PATH");
    false
}

struct Repository {
    root: TempDir,
}

impl Repository {
    /// One commit, on main.
    fn new() -> Self {
        let repository = Self { root: tempfile::tempdir().unwrap() };
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        repository.write("proto/buf.yaml", &std::fs::read_to_string(here.join("../../proto/buf.yaml")).unwrap());
        repository.write("proto/shop/user/v1/user.proto", CONTRACT);
        repository.write("Cargo.toml", "[workspace]\n");
        for (name, calls) in [("user", ""), ("order", "calls = ['user']")] {
            let manifest = format!(
                "[package]\nname = '{name}'\n[package.metadata.seawall]\nport = 1\nmetrics_port = 2\n{calls}\n"
            );
            repository.write(&format!("services/{name}/Cargo.toml"), &manifest);
        }
        repository.git(&["init", "--quiet", "--initial-branch", "main"]);
        repository.commit();
        repository
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn change(&self, from: &str, to: &str) {
        assert!(CONTRACT.contains(from));
        self.write("proto/shop/user/v1/user.proto", &CONTRACT.replace(from, to));
    }

    fn git(&self, arguments: &[&str]) {
        let mut git = Command::new("git");
        git.current_dir(self.root.path()).args(["-c", "user.name=t", "-c", "user.email=t@example.com"]);
        // What a hook that runs the tests tells of another repository.
        let told = std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with("GIT_"));
        for name in told {
            git.env_remove(name);
        }
        assert!(git.args(arguments).status().unwrap().success());
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "change"]);
    }

    fn check(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-seawall"));
        command.current_dir(self.root.path()).args(["contract", "check"]).args(arguments).stdin(Stdio::null());
        let Output { status, stdout, stderr } = command.output().unwrap();
        let said = [stdout, stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        (status.success(), said)
    }
}

#[test]
fn what_breaks_nobody_passes() {
    if is_left_out() {
        return;
    }
    let repository = Repository::new();
    let (good, said) = repository.check(&[]);
    assert!(good && said.contains("Nothing breaks for those who use the contracts of the last commit ("), "{said}");
    // A new field and a new method.
    repository.write(
        "proto/shop/user/v1/user.proto",
        &CONTRACT.replace("int32 age = 2;", "int32 age = 2;\n  string name = 3;").replace(
            "service UserService {",
            "service UserService {\n  rpc Ping(GetUserRequest) returns (GetUserResponse);",
        ),
    );
    let (good, said) = repository.check(&[]);
    assert!(good, "{said}");
}

#[test]
fn a_change_of_the_wire_is_told_with_its_place_for_whom_it_breaks_and_a_fix() {
    if is_left_out() {
        return;
    }
    let repository = Repository::new();
    repository.change("int32 age = 2", "string age = 2");
    let (good, said) = repository.check(&[]);
    assert!(!good && said.contains("error[FIELD_WIRE_JSON_COMPATIBLE_TYPE]"), "{said}");
    assert!(said.contains("--> proto/shop/user/v1/user.proto:16:3"), "{said}");
    assert!(said.contains("breaks order as deployed, and whoever"), "{said}");
    assert!(said.contains("fix: leave the field as it was, and add another one with a new number"), "{said}");
    assert!(said.contains("error: 1 breaking change since the last commit ("), "{said}");

    repository.change("  rpc FindUser(GetUserRequest) returns (GetUserResponse);\n", "");
    let (good, said) = repository.check(&[]);
    assert!(!good && said.contains("error[RPC_NO_DELETE]") && said.contains("UNIMPLEMENTED"), "{said}");

    repository.change("  int32 age = 2;\n", "  reserved 2;\n  reserved \"age\";\n");
    assert!(repository.check(&[]).0, "a field may go when its number and name are reserved");
}

#[test]
fn a_branch_is_compared_with_where_it_has_left_main_or_with_what_is_asked_for() {
    if is_left_out() {
        return;
    }
    let repository = Repository::new();
    repository.git(&["switch", "--quiet", "--create", "mine"]);
    repository.change("int32 age = 2", "string age = 2");
    repository.commit();
    let (good, said) = repository.check(&[]);
    assert!(!good && said.contains("since main, as this branch has left it ("), "{said}");
    assert!(repository.check(&["--against", "HEAD"]).0);
    let (good, said) = repository.check(&["--against", "v9"]);
    assert!(!good && said.contains("git knows no revision \"v9\""), "{said}");
    // What main has done since is none of this branch's business.
    repository.git(&["switch", "--quiet", "main"]);
    repository.write("proto/shop/user/v1/more.proto", "syntax = \"proto3\";\npackage shop.user.v1;\nmessage More {}\n");
    repository.commit();
    repository.git(&["switch", "--quiet", "mine"]);
    repository.write("proto/shop/user/v1/user.proto", CONTRACT);
    assert!(repository.check(&[]).0);
}

#[test]
fn what_cannot_be_compared_is_told_with_what_to_do() {
    if is_left_out() {
        return;
    }
    let repository = Repository::new();
    repository.change("int32 age = 2;", "int32 age = ;");
    let (good, said) = repository.check(&[]);
    assert!(!good && said.contains("user.proto:16"), "{said}");
    repository.git(&["rm", "--quiet", "-r", "--force", "proto"]);
    repository.commit();
    let (good, said) = repository.check(&[]);
    assert!(!good && said.contains("there are no contracts here: no folder proto/"), "{said}");
    repository.write("proto/shop/user/v1/user.proto", CONTRACT);
    let (good, said) = repository.check(&[]);
    assert!(good && said.contains("there were no contracts in the last commit"), "{said}");
}
