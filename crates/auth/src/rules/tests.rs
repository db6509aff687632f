//! Rules as contracts write them, compiled from text.

use std::path::Path;
use std::time::SystemTime;

use super::*;
use crate::jwt::Claims;

/// The descriptors of `service S { SERVICE rpc A.. {METHOD} rpc B.. }` in the package `t`.
pub(crate) fn compiled(service: &str, method: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        r#"syntax = "proto3"; package t; import "seawall/auth/v1/auth.proto"; message M {{}}
        service S {{ {service} rpc A(M) returns (M) {{ {method} }} rpc B(M) returns (M); }}"#
    );
    std::fs::write(folder.path().join("t.proto"), text).unwrap();
    let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let mut compiler = protox::Compiler::new([folder.path(), contracts.as_path()]).unwrap();
    compiler.include_imports(true).open_file("t.proto").unwrap();
    compiler.encode_file_descriptor_set()
}

fn rules(service: &str, method: &str) -> Result<Rules, String> {
    Rules::try_new(&[&compiled(service, method)], Some("shop")).map_err(|mistakes| mistakes.to_string())
}

fn of_method(rule: &str) -> Result<Rules, String> {
    rules("", &format!("option (seawall.auth.v1.method) = {{{rule}}};"))
}

fn service(id: &str) -> Option<SpiffeId> {
    Some(id.parse().unwrap())
}

fn user(service: Option<SpiffeId>, scopes: &[&str], roles: &[&str]) -> Identity {
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    let claims = Claims {
        subject: "ada".into(),
        expires: SystemTime::now(),
        begins: None,
        scopes: words(scopes),
        roles: words(roles),
    };
    Identity::of_user(service, "https://id.example".into(), claims.into())
}

fn judge(rules: &Rules, path: &str, identity: Option<&Identity>) -> Verdict {
    rules.by_path(path).judge(identity)
}

#[test]
fn what_has_no_rule_is_denied_to_everybody() {
    let rules = rules("", "").unwrap();
    let anybody = user(service("spiffe://shop/order"), &["all"], &["admin"]);
    for path in ["/t.S/A", "/t.S/C", "/other.S/A", "", "/t.S/A/", "//t.S/A", "/t.s/A"] {
        assert_eq!(judge(&rules, path, Some(&anybody)), Verdict::Denied, "{path}");
        assert_eq!(judge(&rules, path, None), Verdict::Unauthenticated, "{path}");
    }
    assert_eq!(rules.denied(), ["t.S/A", "t.S/B"]);
}

#[test]
fn a_method_says_it_in_the_place_of_its_service() {
    let rules = rules(
        "option (seawall.auth.v1.service) = {allow: {public: true}};",
        "option (seawall.auth.v1.method) = {allow: {roles: \"admin\"}};",
    )
    .unwrap();
    assert_eq!(judge(&rules, "/t.S/A", None), Verdict::Unauthenticated);
    assert_eq!(judge(&rules, "/t.S/B", None), Verdict::Allowed);
    assert!(rules.denied().is_empty());
}

#[test]
fn one_of_the_alternatives_is_enough_and_all_of_it_must_be_met() {
    let rules = of_method(
        r#"allow: {callers: "order" callers: "spiffe://edge/gateway" scopes: ["a", "b"]} allow: {roles: ["x", "y"]}"#,
    )
    .unwrap();
    for (identity, verdict) in [
        (user(service("spiffe://shop/order"), &["b", "c", "a"], &[]), Verdict::Allowed),
        (user(service("spiffe://edge/gateway"), &["a", "b"], &[]), Verdict::Allowed),
        (user(None, &[], &["y"]), Verdict::Allowed),
        (user(service("spiffe://shop/order"), &["a"], &[]), Verdict::Denied),
        (user(service("spiffe://edge/order"), &["a", "b"], &[]), Verdict::Denied),
        (user(service("spiffe://shop/gateway"), &["a", "b"], &[]), Verdict::Denied),
        (user(None, &["a", "b"], &["z"]), Verdict::Denied),
        (Identity::of_service("spiffe://shop/order".parse().unwrap()), Verdict::Denied),
    ] {
        assert_eq!(judge(&rules, "/t.S/A", Some(&identity)), verdict, "{identity:?}");
    }
}

#[test]
fn a_service_without_a_trust_domain_is_nobody_where_there_is_none() {
    let set = compiled("", r#"option (seawall.auth.v1.method) = {allow: {callers: "order"}};"#);
    let rules = Rules::try_new(&[&set], None).unwrap();
    let order = Identity::of_service("spiffe://shop/order".parse().unwrap());
    assert_eq!(judge(&rules, "/t.S/A", Some(&order)), Verdict::Denied);
}

#[test]
fn whoever_has_shown_who_they_are_is_authenticated_by_whatever_means() {
    let rules = of_method("allow: {authenticated: true}").unwrap();
    assert_eq!(judge(&rules, "/t.S/A", None), Verdict::Unauthenticated);
    assert_eq!(judge(&rules, "/t.S/A", Some(&user(None, &[], &[]))), Verdict::Allowed);
    let order = Identity::of_service("spiffe://elsewhere/order".parse().unwrap());
    assert_eq!(judge(&rules, "/t.S/A", Some(&order)), Verdict::Allowed);
}

#[test]
fn a_mistake_is_told_with_all_others_and_where_it_is() {
    for rule in [
        "",
        "allow: {}",
        "allow: {public: false}",
        "allow: {public: true authenticated: true}",
        "allow: {public: true roles: \"admin\"}",
        "allow: {authenticated: true callers: \"order\"}",
        "allow: {scopes: \"\"}",
        "allow: {roles: \"a b\"}",
        "allow: {callers: \"\"}",
        "allow: {callers: \"/order\"}",
        "allow: {callers: \"spiffe://shop\"}",
        "allow: {callers: \"spiffe://shop/*\"}",
        "allow: {callers: \"https://shop/order\"}",
        "allow: {public: true} allow: {}",
    ] {
        let said = of_method(rule).map(|_| ()).unwrap_err();
        assert!(said.starts_with("1 mistake in the rules of the contracts:\n  - t.S/A: "), "{rule}: {said}");
    }
    let both = rules(
        "option (seawall.auth.v1.service) = {allow: {}};",
        "option (seawall.auth.v1.method) = {allow: {roles: \"\"}};",
    );
    let said = both.map(|_| ()).unwrap_err();
    assert!(said.starts_with("2 mistakes") && said.contains("\n  - t.S: ") && said.contains("\n  - t.S/A: "), "{said}");
}

#[test]
fn health_is_for_everybody_whatever_its_contract_says() {
    let set = |package: &str, service: &str| FileDescriptorSet {
        file: vec![FileDescriptorProto {
            name: package.to_owned(),
            package: package.to_owned(),
            service: vec![descriptor::ServiceDescriptorProto {
                name: service.to_owned(),
                method: vec![descriptor::MethodDescriptorProto { name: "Check".to_owned(), options: None }],
                options: None,
            }],
        }],
    };
    let health = set("grpc.health.v1", "Health").encode_to_vec();
    let reflection = set("grpc.reflection.v1", "ServerReflection").encode_to_vec();
    let rules = Rules::try_new(&[&health, &reflection], None).unwrap();
    assert_eq!(judge(&rules, "/grpc.health.v1.Health/Check", None), Verdict::Allowed);
    let reflection = "/grpc.reflection.v1.ServerReflection/Check";
    assert_eq!(judge(&rules, reflection, None), Verdict::Unauthenticated);
    assert_eq!(judge(&rules, reflection, Some(&user(None, &[], &[]))), Verdict::Allowed);
}
