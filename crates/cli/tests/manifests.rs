//! `lint --only kubernetes` on the manifests of this workspace, as they are and with mistakes.

use std::path::Path;
use std::process::{Command, Stdio};

/// A workspace with the manifests alone, of which one has `before` replaced.
fn lint(file: &str, before: &str, after: &str) -> (bool, String) {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("Cargo.toml"), "[workspace]\n").unwrap();
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/k8s");
    let here = root.path().join("deploy");
    std::fs::create_dir(&here).unwrap();
    assert!(Command::new("cp").arg("-r").arg(ours).arg(&here).status().unwrap().success());
    let path = here.join("k8s").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(before), "{file} has no {before:?}");
    std::fs::write(path, text.replacen(before, after, 1)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-seawall"));
    command.current_dir(root.path()).args(["lint", "--only", "kubernetes"]).stdin(Stdio::null());
    let output = command.output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn manifests_are_built_and_compared_with_the_schemas() {
    if std::env::var("TEST_SKIP_KUBERNETES").is_ok_and(|skip| skip == "1") {
        println!("skipped: kustomize and kubernetes-validate are to be left out");
        return;
    }
    let (is_good, said) = lint("dev/settings.env", "SCHEME", "SCHEME");
    assert!(is_good && said.contains("deploy/k8s/prod for Kubernetes 1.30 and 1.37"), "{said}");

    let (is_good, said) = lint("prod/probes.yaml", "httpGet:", "httpGets:");
    assert!(!is_good, "{said}");
    assert!(said.contains("deployment/order") && said.contains("'httpGets' was unexpected"), "{said}");
    assert!(said.contains("deploy/k8s/prod is not for Kubernetes 1.30"), "{said}");

    let (is_good, said) = lint("base/kustomization.yaml", "- user", "- users");
    assert!(!is_good && said.contains("deploy/k8s/base cannot be built"), "{said}");
}
