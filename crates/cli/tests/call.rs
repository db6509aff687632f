//! `call` against servers of the tonic project: health, of which everybody has the contract, and reflection, which is
//! itself a stream both ways.

#[path = "call/server.rs"]
mod server;

use std::process::Output;

use serde_json::Value;
use server::{Reflection, Server};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What was printed by a call that ended well, and what was said.
#[track_caller]
fn good(output: &Output) -> (String, String) {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert!(!out.contains('\u{1b}') && !err.contains('\u{1b}'), "colours belong on terminals");
    (out, err)
}

/// What was said by one that did not, and the exit code.
fn bad(output: &Output) -> (i32, String) {
    (output.status.code().unwrap(), text(&output.stderr))
}

#[test]
fn a_method_is_called_by_the_name_of_a_running_service() {
    let server = Server::start(Reflection::V1);
    let here = server.workspace("alpha", false);
    let (out, err) = good(&here.run(&["call", "alpha", "Check", "--json", r#"{"service": ""}"#]));
    assert_eq!(out, "{\"status\":\"SERVING\"}\n");
    assert!(err.contains("OK in ") && err.contains(": cargo seawall trace "), "{err}");
    let trace = err.split("Trace ").nth(1).unwrap().split(':').next().unwrap();
    assert_eq!(server.seen("traceparent").split('-').nth(1).unwrap(), trace, "it is the trace that the server has");
    assert_eq!(server.seen("grpc-timeout"), "30000000u");

    let (code, err) = bad(&here.run(&["call", "alpah", "Check"]));
    assert_eq!(code, 1);
    assert!(err.contains("\"alpah\" is no service; did you mean alpha?; running: alpha; or give host:port"), "{err}");
    let (_, err) = bad(&here.run(&["call", "beta", "Check"]));
    assert!(err.contains("beta does not run here; start it with: cargo seawall up --detach beta"), "{err}");
}

#[test]
fn a_running_service_is_called_by_tls_where_it_speaks_that() {
    let server = Server::start_with_tls();
    let here = server.workspace("alpha", true);
    let (out, _) = good(&here.run(&["call", "alpha", "Check"]));
    assert_eq!(out, "{\"status\":\"SERVING\"}\n");
    let (code, err) = bad(&here.run(&["call", &format!("http://{}", server.address), "Check"]));
    assert!(code == 1 && err.contains("speaks nothing but TLS"), "{err}");
    // From elsewhere, by files.
    let url = format!("https://{}", server.address);
    let elsewhere = server::Workspace::empty();
    let (code, err) = bad(&elsewhere.run(&["call", &url, "Check"]));
    assert!(code == 1 && err.contains("no connection to") && err.contains("UnknownIssuer"), "{err}");
    let file = |name: &str| here.root.path().join(".seawall/tls").join(name).display().to_string();
    let (ca, cert, key) = (file("ca.pem"), file("developer.pem"), file("developer.key"));
    let (out, _) = good(&elsewhere.run(&["call", &url, "Check", "--ca", &ca, "--cert", &cert, "--key", &key]));
    assert_eq!(out, "{\"status\":\"SERVING\"}\n");
}

#[test]
fn streams_go_both_ways_one_message_a_line() {
    let server = Server::start(Reflection::V1);
    let here = server::Workspace::empty();
    let messages = "{\"list_services\": \"*\"}\n{\"fileContainingSymbol\": \"grpc.health.v1.Health\"}\n";
    let method = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let (out, err) = good(&here.run_with(&["call", &server.address, method, "--json", "-"], messages));
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names = lines[0]["listServicesResponse"]["service"].as_array().unwrap();
    assert!(names.iter().any(|service| service["name"] == "grpc.health.v1.Health"), "{out}");
    assert_eq!(lines[1]["originalRequest"]["fileContainingSymbol"], "grpc.health.v1.Health");
    assert!(err.contains("OK in ") && err.contains(", 2 answers"), "{err}");
}

#[test]
fn answers_are_shown_until_the_deadline() {
    let server = Server::start(Reflection::V1);
    let output = server::Workspace::empty().run(&["call", &server.address, "Health/Watch", "--timeout", "300ms"]);
    let (code, err) = bad(&output);
    assert_eq!(text(&output.stdout), "{\"status\":\"SERVING\"}\n");
    assert_eq!(code, 68, "DEADLINE_EXCEEDED, as with grpcurl");
    assert!(err.contains("DEADLINE_EXCEEDED: ") && err.contains(", 1 answer"), "{err}");
}

#[test]
fn a_server_without_version_1_is_asked_in_v1alpha_and_one_without_any_is_called_by_contracts_here() {
    let old = Server::start(Reflection::V1Alpha);
    let (out, _) = good(&server::Workspace::empty().run(&["call", &old.address]));
    assert!(out.contains("grpc.health.v1.Health\n  Check  HealthCheckRequest → HealthCheckResponse"), "{out}");

    let silent = Server::start(Reflection::None);
    let here = silent.workspace("alpha", false);
    let (code, err) = bad(&here.run(&["call", "alpha", "Check"]));
    assert_eq!(code, 1);
    assert!(err.contains("SEAWALL_SERVER_REFLECTION=true") && err.contains("no folder proto/"), "{err}");
    here.write("proto/grpc/health/v1/health.proto", server::HEALTH);
    let (out, err) = good(&here.run(&["call", "alpha", "Check"]));
    assert_eq!(out, "{\"status\":\"SERVING\"}\n");
    assert!(err.contains("those of proto/ here are taken"), "{err}");
}

#[test]
fn what_a_server_refuses_is_told_with_its_details() {
    let server = Server::start(Reflection::V1);
    let here = server::Workspace::empty();
    let (code, err) = bad(&here.run(&["call", &server.address, "Check", "-H", "x-refuse: tea"]));
    assert_eq!(code, 67);
    let expected =
        "INVALID_ARGUMENT: there is no tea\n  reason  NO_TEA (shop.example)\n  field   cup.tea: must be poured\n";
    assert!(err.starts_with(expected), "{err}");
    let (code, err) = bad(&here.run(&["call", &server.address, "Check", "--json", r#"{"service": "gone"}"#]));
    assert_eq!(code, 69);
    assert!(err.starts_with("NOT_FOUND: "), "{err}");
}

#[test]
fn mistakes_are_told_before_anything_is_called() {
    let server = Server::start(Reflection::V1);
    let here = server::Workspace::empty();
    let mistake = |arguments: &[&str]| {
        let (code, err) = bad(&here.run(&[&["call", &server.address], arguments].concat()));
        assert_eq!(code, 1, "{err}");
        err
    };
    let said = mistake(&["Chek"]);
    assert!(said.contains("there is no method Chek; did you mean Check?"), "{said}");
    let said = mistake(&["User/Check"]);
    assert!(said.contains("there is no method User/Check; did you mean Health/Check?"), "{said}");
    let said = mistake(&["Check", "--json", r#"{"servce": 1}"#]);
    assert!(said.contains("servce: HealthCheckRequest has no such field; did you mean service?"), "{said}");
    let said = mistake(&["Check", "--json", "{}{}"]);
    assert!(said.contains("Check takes one message, and --json has 2"), "{said}");
    let refused = here.run(&["call", &server.address, "Check", "-H", "grpc-timeout: 1S"]);
    assert!(text(&refused.stderr).contains("--timeout"), "{}", text(&refused.stderr));
    assert!(server.seen("traceparent").is_empty(), "nothing was called");
}

#[test]
fn a_method_is_described_with_a_call_that_can_be_made() {
    let server = Server::start(Reflection::V1);
    let here = server::Workspace::empty();
    let (out, _) = good(&here.run(&["call", &server.address, "Watch", "--describe"]));
    assert!(out.contains("takes grpc.health.v1.HealthCheckRequest\n  service  string"), "{out}");
    assert!(out.contains("answers a stream of grpc.health.v1.HealthCheckResponse"), "{out}");
    assert!(out.contains("UNKNOWN SERVING NOT_SERVING SERVICE_UNKNOWN"), "{out}");
    assert!(out.contains("call ") && out.ends_with("Watch --json '{\"service\": \"\"}'\n"), "{out}");
}
