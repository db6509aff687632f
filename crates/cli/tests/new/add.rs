//! `add rpc`: what is written where. That it compiles and its tests pass is seen by `readme.rs`.

use crate::workspace::Workspace;

const CHARGE: [&str; 7] = [
    "add",
    "rpc",
    "billing.Charge",
    "--request",
    "item_id:string,amount:int64,items:[]Item",
    "--response",
    "receipt_id:string",
];

#[test]
fn a_method_is_in_the_contract_the_code_and_the_tests() {
    let workspace = Workspace::new();
    workspace.done(&["new", "billing"]);
    let stand_in = "use seawall_proto::seawall::billing::v1::GetItemRequest;\n\n\
                    #[tonic::async_trait]\nimpl BillingService for Bills {\n    async fn create_item() {}\n}\n";
    workspace.write("services/order/tests/order/billing.rs", stand_in);
    let before = workspace.tree();
    workspace.done(&[&CHARGE[..], &["--dry-run"]].concat());
    assert_eq!(workspace.tree(), before);
    workspace.done(&CHARGE);
    let contains = |path: &str, expected: &str| {
        let text = workspace.read(path);
        assert!(text.contains(expected), "{expected:?} is not in {path}:\n{text}");
    };
    let contract = "proto/seawall/billing/v1/billing.proto";
    contains(
        contract,
        "  rpc Charge(ChargeRequest) returns (ChargeResponse) {\n    option (seawall.auth.v1.method) = {allow: {scopes: \"billing.write\"}};\n    option (seawall.policy.v1.method) = {budget_ms: 1000};\n  }\n}\n",
    );
    contains(contract, "  // Not empty.\n  string item_id = 1;\n  int64 amount = 2;\n  repeated Item items = 3;\n}\n");
    contains("services/billing/src/lib.rs", "mod charge;\nmod create;\n");
    contains("services/billing/src/lib.rs", "`create.rs get.rs list.rs charge.rs` are the methods");
    contains("services/billing/src/service.rs", "async fn charge(&self, request: Request<ChargeRequest>)");
    contains(
        "services/billing/src/charge.rs",
        "violations.check(!request.item_id.is_empty(), \"item_id\", \"must not be empty\")",
    );
    contains(
        "services/order/tests/order/billing.rs",
        "async fn charge(\n        &self,\n        _: tonic::Request<seawall_proto::seawall::billing::v1::ChargeRequest>,",
    );
    contains("services/billing/tests/billing/main.rs", "mod charge;\nmod create;\n");
    contains("services/billing/tests/billing/charge.rs", "Refusal::bad(&[\"item_id\"])");
    workspace.done(&["lint", "--only", "policy"]);
    workspace.done(&["lint", "--only", "auth"]);
}

#[test]
fn a_method_that_cannot_be_leaves_everything_as_it_was() {
    let workspace = Workspace::new();
    workspace.done(&["new", "billing"]);
    workspace.done(&CHARGE);
    let before = workspace.tree();
    let cases: [(&[&str], &str); 8] = [
        (&["billing.Charge"], "charge.rs is there already"),
        (&["billing.CreateItem"], "already"),
        (&["billing.charge"], "cannot be the name of a method"),
        (&["billing"], "not a service and a method"),
        (&["nobody.Charge"], "\"nobody\" is no service of this workspace"),
        (&["billing.Refund", "--request", "a:Nothing"], "contracts do not compile"),
        (&["billing.Refund", "--request", "a:string,a:string"], "named twice"),
        (&["order.GetOrder"], "cannot be read"),
    ];
    for (arguments, expected) in cases {
        let said = workspace.seawall(&[&["add", "rpc"], arguments].concat());
        assert!(said.code == Some(1) && said.err.contains(expected), "{arguments:?}: {}", said.err);
        assert_eq!(workspace.tree(), before, "{arguments:?}");
    }
    assert_eq!(workspace.seawall(&["add", "rpc", "billing.Refund", "--request", "a:text"]).code, Some(2));
}
