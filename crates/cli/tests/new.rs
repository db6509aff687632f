//! `new` over a template of its own; the real one is generated, built and tested by `readme.rs`.

use std::path::Path;
use std::process::{Command, Output, Stdio};

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn workspace() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "Cargo.toml", "[workspace]\nresolver = '3'\nmembers = ['services/*']\n");
    let manifest = "[package]\nname = '__name__'\nedition = '2024'\n\
                    [package.metadata.seawall]\nport = __port__\nmetrics_port = __metrics_port__\n";
    write(root.path(), "templates/service/services/__name__/Cargo.toml", manifest);
    write(root.path(), "templates/service/services/__name__/src/main.rs", "//! __Name__.\nfn   main() {}\n");
    root
}

fn new(root: &Path, name: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-seawall"));
    command.current_dir(root).args(["new", name]).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn a_service_is_written_formatted_and_found() {
    let root = workspace();
    let output = new(root.path(), "billing");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8(output.stdout).unwrap().contains("cargo seawall up billing"));
    let source = std::fs::read_to_string(root.path().join("services/billing/src/main.rs")).unwrap();
    assert_eq!(source, "//! Billing.\nfn main() {}\n");
    assert!(new(root.path(), "pricing").status.success());
    let manifest = std::fs::read_to_string(root.path().join("services/pricing/Cargo.toml")).unwrap();
    assert!(manifest.contains("port = 50052\nmetrics_port = 9465\n"), "after those of billing: {manifest}");
}

#[test]
fn a_bad_name_is_refused_before_anything_is_written() {
    let root = workspace();
    assert!(new(root.path(), "billing").status.success());
    for name in ["billing", "Pay", "pay-out", "../pay", "type"] {
        let output = new(root.path(), name);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(!String::from_utf8(output.stderr).unwrap().is_empty());
    }
    assert_eq!(root.path().join("services").read_dir().unwrap().count(), 1);
}
