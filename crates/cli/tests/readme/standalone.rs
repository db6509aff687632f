//! A workspace of its own, in which the two commands work.

use serde_json::Value;

use crate::Copy;

/// Outside of this workspace, whose settings of cargo are for all folders in it.
pub(crate) fn beside(copy: &Copy) {
    let outside = tempfile::tempdir().unwrap();
    let acme = outside.path().join("acme").display().to_string();
    copy.run(&[format!("cargo seawall new --standalone {acme}")]);
    let there = |lines: &[&str]| {
        let cd = format!("cd {acme}");
        let lines: Vec<String> = [&[cd.as_str()], lines].concat().into_iter().map(str::to_owned).collect();
        copy.run(&lines)
    };
    there(&["cargo seawall new billing", "cargo seawall add rpc billing.Charge --request item_id:string"]);
    there(&["cargo seawall lint --only policy", "cargo fmt --all --check"]);
    there(&["cargo test --quiet --package billing --lib --test billing"]);
    there(&["cargo seawall up --detach"]);
    let running: Value = serde_json::from_str(&there(&["cargo seawall ps --json"])).unwrap();
    let address = running["services"][0]["address"].as_str().unwrap().to_owned();
    let call = format!(
        "grpcurl -plaintext -d '{{\"item\":{{\"title\":\"first\"}}}}' {address} acme.billing.v1.BillingService/CreateItem"
    );
    let answer = there(&[&call]);
    assert!(answer.contains("\"title\": \"first\""), "{answer}");
    there(&["cargo seawall down", "cargo seawall rm billing --force"]);
}
