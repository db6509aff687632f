//! Each rule, on contracts that break it and on one that breaks none.

use super::*;

const HEAD: &str = r#"
syntax = "proto3";
package shop.v1;
import "seawall/policy/v1/policy.proto";
message M {}
"#;

/// A contract of the package `shop.v1`, compiled with the real `policy.proto`.
fn contract(services: &str) -> Contract {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("shop.proto"), format!("{HEAD}{services}")).unwrap();
    let ours = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto");
    let mut compiler = protox::Compiler::new([folder.path(), ours.as_ref()]).unwrap();
    compiler.include_imports(true).include_source_info(true).open_file("shop.proto").unwrap();
    Contract::try_new(&[&compiler.encode_file_descriptor_set()]).unwrap()
}

/// `Name: policy`, each a method of the service `S`; idempotent if the name begins with `Get`.
fn methods(methods: &[(&str, &str)]) -> Contract {
    let rpc = |(name, policy): &(&str, &str)| {
        let level = if name.starts_with("Get") { "option idempotency_level = NO_SIDE_EFFECTS;" } else { "" };
        format!("rpc {name}(M) returns (M) {{ {level} option (seawall.policy.v1.method) = {{ {policy} }}; }}\n")
    };
    contract(&format!("service S {{\n{}}}", methods.iter().map(rpc).collect::<String>()))
}

fn found(contract: &Contract, packages: &[Package]) -> Vec<(Rule, String)> {
    lint(contract, packages).into_iter().map(|finding| (finding.rule, finding.problem)).collect()
}

fn one(contract: &Contract, packages: &[Package]) -> Finding {
    let mut findings = lint(contract, packages);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    findings.remove(0)
}

fn package(serves: &str, calls: &[&str]) -> Package {
    let call =
        |method: &&str| Call { method: (*method).to_owned(), location: Location { file: "place.rs".into(), line: 7 } };
    Package { name: "services/s".into(), serves: [serves.to_owned()].into(), calls: calls.iter().map(call).collect() }
}

#[test]
fn what_fits_together_is_left_alone() {
    let contract = methods(&[
        ("Place", r#"budget_ms: 1101 calls: "shop.v1.S/GetA" calls: "shop.v1.S/GetA" calls: "shop.v1.S/GetB""#),
        ("GetA", "budget_ms: 500 retry: {attempts_max: 3}"),
        ("GetB", "budget_ms: 100 hedge: {attempts_max: 2}"),
        ("Alone", ""),
    ]);
    assert_eq!(found(&contract, &[package("shop.v1.S", &["shop.v1.S/GetA", "shop.v1.S/GetB"])]), []);
}

#[test]
fn a_method_that_is_called_twice_needs_its_budget_twice() {
    let calls = r#"calls: "shop.v1.S/GetA" calls: "shop.v1.S/GetA""#;
    let contract = methods(&[("Place", &format!("budget_ms: 1000 {calls}")), ("GetA", "budget_ms: 500")]);
    let finding = one(&contract, &[]);
    assert_eq!(finding.rule, Rule::Budget);
    assert_eq!(finding.problem, "shop.v1.S/Place has 1s, and its calls may take 1s");
    let figure = |name: &str, number: &str| (name.to_owned(), number.to_owned());
    let a = figure("shop.v1.S/GetA", "500ms");
    assert_eq!(finding.figures, [a.clone(), a, figure("together, one after the other", "1s")]);
    assert!(finding.fix.contains("at least 1001"), "{}", finding.fix);
    assert!(matches!(finding.place, Some(Place::Contract(location)) if location.to_string() == "shop.proto:7"));
}

#[test]
fn retries_multiply_along_the_heaviest_path_and_are_told_where_they_first_do() {
    let contract = methods(&[
        ("GetTop", r#"budget_ms: 9000 retry: {attempts_max: 2} calls: "shop.v1.S/GetMiddle""#),
        ("Other", r#"budget_ms: 9000 calls: "shop.v1.S/GetMiddle""#),
        ("GetMiddle", r#"budget_ms: 4000 hedge: {attempts_max: 2} calls: "shop.v1.S/GetLast""#),
        ("GetLast", "budget_ms: 1000 retry: {attempts_max: 3}"),
    ]);
    let finding = one(&contract, &[]);
    assert_eq!(finding.rule, Rule::Amplification);
    assert!(finding.problem.starts_with("shop.v1.S/GetMiddle may be called 4 times"), "{}", finding.problem);
    let figures: Vec<String> = finding.figures.iter().map(|(name, times)| format!("{name} {times}")).collect();
    assert_eq!(figures, ["shop.v1.S/GetTop × 2", "shop.v1.S/GetMiddle × 2"]);
}

#[test]
fn four_attempts_of_one_method_are_too_many_already() {
    let finding = one(&methods(&[("GetA", "retry: {attempts_max: 4}")]), &[]);
    assert_eq!(finding.rule, Rule::Amplification);
}

#[test]
fn a_circle_is_shown_once() {
    let calls = |name: &str, budget| format!("budget_ms: {budget} calls: \"shop.v1.S/{name}\"");
    let contract =
        methods(&[("A", &calls("B", 3000)), ("B", &calls("C", 2000)), ("C", &calls("B", 4000)), ("D", &calls("D", 1))]);
    let cycles: Vec<String> = found(&contract, &[])
        .into_iter()
        .filter(|(rule, _)| *rule == Rule::Cycle)
        .map(|(_, problem)| problem)
        .collect();
    assert_eq!(cycles.len(), 2, "{cycles:?}");
    assert!(cycles[0].ends_with("shop.v1.S/B → shop.v1.S/C → shop.v1.S/B"), "{cycles:?}");
    assert!(cycles[1].ends_with("shop.v1.S/D → shop.v1.S/D"), "{cycles:?}");
}

#[test]
fn only_what_is_idempotent_is_called_again() {
    for policy in ["retry: {attempts_max: 2}", "hedge: {attempts_max: 2}"] {
        let finding = one(&methods(&[("Create", policy)]), &[]);
        assert_eq!(finding.rule, Rule::Setting);
        assert!(finding.problem.contains("[shop.v1.S/Create]") && finding.problem.contains("not declared idempotent"));
        assert!(finding.place.is_some());
    }
    assert_eq!(found(&methods(&[("Create", "idempotency_key: true retry: {attempts_max: 2}")]), &[]), []);
    // Said of the whole service, it is meant for those of its methods that can be called again.
    let service = |rpcs: &str| {
        contract(&format!(
            "service S {{ option (seawall.policy.v1.service) = {{retry: {{attempts_max: 2}}}};\n{rpcs} }}"
        ))
    };
    let create = "rpc Create(M) returns (M);";
    assert_eq!(
        found(&service(&format!("{create} rpc Get(M) returns (M) {{option idempotency_level = IDEMPOTENT;}}")), &[]),
        []
    );
    assert!(one(&service(create), &[]).problem.contains("has no effect; no method that it is said for is idempotent"));
}

#[test]
fn unknown_methods_and_missing_budgets_are_told() {
    let contract = methods(&[
        ("Place", r#"budget_ms: 100 calls: "shop.v1.S/GetB" calls: "shop.v1.S/GetA" calls: "x""#),
        ("GetA", ""),
        ("Late", r#"calls: "shop.v1.S/Done""#),
        ("Done", "budget_ms: 10"),
    ]);
    let expected = [
        (
            Rule::UnknownMethod,
            "shop.v1.S/Place says that it calls \"shop.v1.S/GetB\", which is no method; did you mean shop.v1.S/GetA?",
        ),
        (Rule::UnknownMethod, "shop.v1.S/Place says that it calls \"x\", which is no method"),
        (Rule::NoBudget, "shop.v1.S/GetA has no budget, and is called by shop.v1.S/Place"),
        (Rule::NoBudget, "shop.v1.S/Late has no budget for its call of shop.v1.S/Done"),
    ];
    assert_eq!(found(&contract, &[]), expected.map(|(rule, problem)| (rule, problem.to_owned())));
}

#[test]
fn contract_and_code_name_the_same_calls() {
    let contract =
        methods(&[("Place", r#"budget_ms: 100 calls: "shop.v1.S/GetA""#), ("GetA", "budget_ms: 10"), ("GetB", "")]);
    let both = package("shop.v1.S", &["shop.v1.S/GetA", "shop.v1.S/GetB"]);
    let finding = one(&contract, &[both]);
    assert_eq!(finding.rule, Rule::Undeclared);
    assert_eq!(finding.problem, "services/s calls shop.v1.S/GetB, which no method of shop.v1.S names");
    assert!(matches!(finding.place, Some(Place::Code(location)) if location.to_string() == "place.rs:7"));

    let finding = one(&contract, &[package("shop.v1.S", &[])]);
    assert_eq!(finding.rule, Rule::Unmade);
    assert_eq!(finding.problem, "shop.v1.S/Place says that it calls shop.v1.S/GetA, and nothing in services/s does");
    // A service that nobody serves here, and code that serves nothing.
    let edge = Package { serves: BTreeSet::new(), ..package("", &["shop.v1.S/GetB"]) };
    assert_eq!(found(&contract, &[edge]), []);
}

#[test]
fn values_that_no_policy_takes_are_told_where_they_stand() {
    let contract = methods(&[
        ("GetA", "budget_ms: 0 retry: {attempts_max: 9 initial_backoff_ms: 0}"),
        ("GetB", r#"outcomes: {code: "NOT_FUND" outcome: OUTCOME_FAILURE} retry: {attempts_max: 2 codes: "GONE"}"#),
        ("GetC", "retry: {attempts_max: 2} hedge: {attempts_max: 2}"),
    ]);
    let problems: Vec<String> = lint(&contract, &[])
        .into_iter()
        .filter(|finding| finding.rule == Rule::Setting)
        .inspect(|finding| assert!(finding.place.is_some()))
        .map(|finding| finding.problem)
        .collect();
    let expected = [
        "[shop.v1.S/GetA] budget = 0s: must be more than 0",
        "[shop.v1.S/GetA] retry.attempts_max = 9: must be 1 to 5, where 1 is no retry",
        "[shop.v1.S/GetA] retry.initial_backoff = 0ns: must be",
        "[shop.v1.S/GetB] outcomes.NOT_FUND: unknown; did you mean outcomes.NOT_FOUND?",
        "[shop.v1.S/GetB] retry.codes = GONE: must be a list of names of gRPC codes",
        "[shop.v1.S/GetC] retry and hedge together",
    ];
    for expected in expected {
        assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{expected} is not in {problems:#?}");
    }
}
