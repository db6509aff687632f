//! `lint --only policy` on a copy of this workspace's contracts and services, as they are and with
//! each kind of mistake.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const ORDER: &str = "proto/seawall/order/v1/order.proto";
const USER: &str = "proto/seawall/user/v1/user.proto";
const PLACE: &str = "services/order/src/place.rs";
const GET_USER: &str = r#"calls: "seawall.user.v1.UserService/GetUser""#;

struct Shop(tempfile::TempDir);

impl Shop {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        std::fs::write(root.path().join("Cargo.toml"), "[workspace]\n").unwrap();
        for folder in ["proto", "services/order/src", "services/user/src"] {
            copy(&ours.join(folder), &root.path().join(folder));
        }
        Self(root)
    }

    /// With `before` replaced, which must be there.
    fn with(self, file: &str, before: &str, after: &str) -> Self {
        let path = self.0.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(before), "{file} has no {before:?}");
        std::fs::write(path, text.replacen(before, after, 1)).unwrap();
        self
    }

    fn line(&self, file: &str, text: &str) -> usize {
        let lines = std::fs::read_to_string(self.0.path().join(file)).unwrap();
        lines.lines().position(|line| line.contains(text)).unwrap() + 1
    }

    /// Whether it passes, and what it prints.
    fn lint(&self) -> (bool, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-seawall"));
        command.current_dir(self.0.path()).args(["lint", "--only", "policy"]).stdin(Stdio::null());
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    }

    /// There is one finding, and its text is in what is printed.
    fn finds(&self, texts: &[&str]) {
        let (is_good, printed) = self.lint();
        assert!(!is_good, "{printed}");
        assert!(printed.contains("1 finding, above"), "{printed}");
        for text in texts {
            assert!(printed.contains(text), "{text:?} is not in {printed}");
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let path: PathBuf = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, &to).unwrap();
        }
    }
}

#[test]
fn the_workspace_passes_and_its_calls_are_shown_with_their_budgets() {
    let (is_good, printed) = Shop::new().lint();
    assert!(is_good, "{printed}");
    let lines: Vec<&str> = printed.lines().collect();
    let place = lines.iter().position(|line| line.starts_with("  PlaceOrder  ")).expect("PlaceOrder is shown");
    assert!(lines[place].contains("3s") && lines[place].contains("critical"), "{printed}");
    let call = lines[place + 1];
    assert!(call.starts_with("  └─ seawall.user.v1.UserService/GetUser") && call.contains("500ms"), "{printed}");
    assert!(call.contains("3, after a failure"), "{printed}");
}

#[test]
fn budgets_that_do_not_fit() {
    let shop = Shop::new().with(ORDER, "budget_ms: 3000", "budget_ms: 400");
    let place = format!("--> {ORDER}:{}", shop.line(ORDER, "rpc PlaceOrder"));
    shop.finds(&["error[budget]: seawall.order.v1.OrderService/PlaceOrder has 400ms", &place, "500ms", "at least 501"]);
}

#[test]
fn retries_that_multiply() {
    let shop = Shop::new().with(ORDER, GET_USER, &format!("{GET_USER} retry: {{attempts_max: 2}}"));
    shop.finds(&["error[amplification]: seawall.user.v1.UserService/GetUser may be called 6 times", "× 2", "× 3"]);
}

#[test]
fn a_circle_of_calls() {
    let back = r#"budget_ms: 500 calls: "seawall.order.v1.OrderService/PlaceOrder""#;
    let (is_good, printed) = Shop::new().with(USER, "budget_ms: 500", back).lint();
    assert!(!is_good);
    assert!(printed.contains("error[cycle]"), "{printed}");
    let circle = "seawall.order.v1.OrderService/PlaceOrder → seawall.user.v1.UserService/GetUser → \
                  seawall.order.v1.OrderService/PlaceOrder";
    assert!(printed.contains(circle), "{printed}");
}

#[test]
fn a_retry_of_what_is_not_idempotent() {
    let shop = Shop::new().with(
        ORDER,
        "returns (CancelOrderResponse) {\n    option idempotency_level = IDEMPOTENT;\n",
        "returns (CancelOrderResponse) {\n",
    );
    shop.finds(&["error[setting]: [seawall.order.v1.OrderService/CancelOrder]", "not declared idempotent"]);
}

#[test]
fn a_method_that_does_not_exist() {
    let shop = Shop::new().with(ORDER, "UserService/GetUser\"", "UserService/GetUsr\"");
    let (is_good, printed) = shop.lint();
    assert!(!is_good);
    assert!(printed.contains("error[unknown-method]"), "{printed}");
    assert!(printed.contains("did you mean seawall.user.v1.UserService/GetUser?"), "{printed}");
    assert!(printed.contains("error[undeclared-call]"), "the call in the code has lost its name: {printed}");
}

#[test]
fn a_called_method_without_a_budget() {
    let service = "  option (seawall.policy.v1.service) = {budget_ms: 1000};\n";
    let shop = Shop::new().with(USER, service, "").with(USER, "      budget_ms: 500\n", "");
    shop.finds(&["error[no-budget]: seawall.user.v1.UserService/GetUser has no budget, and is called by"]);
}

#[test]
fn a_call_that_no_contract_names_also_inside_of_a_macro() {
    let call = "let (_, _) = tokio::join!(async {}, users.clone().batch_get_users(request()));\n    match users";
    let shop = Shop::new().with(PLACE, "match users", call);
    let place = format!("--> {PLACE}:{}", shop.line(PLACE, "tokio::join"));
    shop.finds(&["error[undeclared-call]: services/order calls seawall.user.v1.UserService/BatchGetUsers", &place]);
}

#[test]
fn a_call_that_no_code_makes() {
    let shop = Shop::new().with(PLACE, ".get_user(request)", ".get(request)");
    shop.finds(&["error[unmade-call]: seawall.order.v1.OrderService/PlaceOrder", "nothing in services/order does"]);
}

#[test]
fn calls_of_tests_do_not_count() {
    let inline = "#[cfg(test)]\nmod tests {\n    fn test(users: U) { users.list_users(); }\n}\n";
    let module = "#[cfg(test)]\nmod probe;\n";
    let shop = Shop::new().with(PLACE, "//! PlaceOrder.\n", &format!("//! PlaceOrder.\n{inline}{module}"));
    let folder = shop.0.path().join("services/order/src/place");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("probe.rs"), "fn test(users: U) { users.list_users(); }").unwrap();
    let (is_good, printed) = shop.lint();
    assert!(is_good, "{printed}");
    // The same file counts when it is there for more than tests.
    let shop = shop.with(PLACE, module, "mod probe;\n");
    shop.finds(&["error[undeclared-call]", "--> services/order/src/place/probe.rs:1"]);
}

#[test]
fn what_cannot_be_read_is_told_with_its_line() {
    let (is_good, printed) = Shop::new().with(ORDER, "budget_ms: 3000", "budget: 3000").lint();
    assert!(!is_good);
    assert!(printed.contains("the contracts do not compile") && printed.contains("order.proto:"), "{printed}");
    let (is_good, printed) = Shop::new().with(PLACE, "match users", "match match").lint();
    assert!(!is_good);
    assert!(printed.contains("services/order/src/place.rs:"), "{printed}");
}
