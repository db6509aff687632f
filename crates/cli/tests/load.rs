//! `load` against a server in the test: what is called, counted and told.

#[path = "call/server.rs"]
mod server;

use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use server::{Reflection, Server, Workspace};

/// The result as JSON, of a load that had a call that ended well or not.
fn result(server: &Server, arguments: &[&str], code: i32) -> Value {
    let arguments = [&["load", &server.address, "Check", "--output", "json"], arguments].concat();
    let output = Workspace::empty().run(&arguments);
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn as_many_calls_are_made_as_are_due_however_long_they_take() {
    let server = Server::start(Reflection::V1);
    let result = result(&server, &["--rate", "200", "--duration", "1s", "--ramp", "500ms"], 0);
    // Half of a ramp's: 50, and 100 in the rest.
    assert_eq!(result["calls"], 150);
    assert_eq!(result["codes"]["OK"], 150);
    assert_eq!((&result["rate_aimed"], &result["latency_from"]), (&200.0.into(), &"due".into()));
    let of = |name: &str| result["latency_ms"]["OK"][name].as_f64().unwrap();
    assert!(of("min") <= of("p50") && of("p50") <= of("p99") && of("p99") <= of("max"), "{result}");
}

#[test]
fn callers_wait_for_their_answers() {
    let server = Server::start(Reflection::V1);
    let result = result(&server, &["--concurrency", "3", "--duration", "300ms", "--connections", "2"], 0);
    assert!(result["calls"].as_u64().unwrap() >= 3, "{result}");
    assert_eq!((&result["rate_aimed"], &result["latency_from"]), (&Value::Null, &"sent".into()));
}

/// The coordinated omission: one call that stalls holds up those that are due after it, and each of them tells.
#[test]
fn a_stall_counts_for_each_call_that_was_due_in_it() {
    let server = Server::start(Reflection::V1);
    let arguments = ["--rate", "100", "--duration", "1s", "--concurrency", "1", "-H", "x-stall-once: 400"];
    let result = result(&server, &arguments, 0);
    assert_eq!(result["calls"], 100);
    // Some 40 calls were due while the first one stalled; on average, they waited for half of that.
    assert!(result["waited"].as_u64().unwrap() >= 20, "{result}");
    let of = |name: &str| result["latency_ms"]["OK"][name].as_f64().unwrap();
    assert!(of("p90") >= 200.0, "nine of ten calls would be quick if only the one that stalled counted: {result}");
}

#[test]
fn calls_that_fail_are_counted_by_code_and_none_that_ends_well_is_a_failure() {
    let server = Server::start(Reflection::V1);
    let result = result(&server, &["--rate", "50", "--duration", "200ms", "-H", "x-refuse: tea"], 1);
    assert_eq!(result["codes"]["INVALID_ARGUMENT"], 10);
    assert_eq!(result["latency_ms"]["OK"], Value::Null);
    let text = Workspace::empty().run(&[
        "load",
        &server.address,
        "Check",
        "--rate",
        "50",
        "--duration",
        "200ms",
        "-H",
        "x-refuse: tea",
    ]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("FAILED   INVALID_ARGUMENT: there is no tea"), "{text}");
    assert!(!text.contains('\u{1b}'), "colours belong on terminals");
}

#[test]
fn messages_have_the_number_of_their_call() {
    let server = Server::start(Reflection::V1);
    let message = r#"{"service": "{{n}}-{{id}}"}"#;
    let result = result(&server, &["--rate", "50", "--duration", "100ms", "--json", message], 1);
    assert_eq!(result["codes"]["NOT_FOUND"], 5);
    let output =
        Workspace::empty().run(&["load", &server.address, "Check", "--rate", "1", "--json", r#"{"service": {{n}}}"#]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("service: must be string"), "{said}");
}

#[test]
fn ctrl_c_ends_it_with_what_there_is() {
    let server = Server::start(Reflection::V1);
    let here = Workspace::empty();
    let mut command = here.command(&["load", &server.address, "Check", "--rate", "100", "--duration", "10min"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    // Calls are counted by the server, so that there is something to show.
    while server.calls() < 20 {
        runtime.block_on(async { tokio::time::sleep(std::time::Duration::from_millis(10)).await });
    }
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("ENDED    by you") && text.contains("Latency of calls that ended well"), "{text}");
}

#[test]
fn a_load_that_makes_no_sense_is_refused() {
    let refused = |arguments: &[&str]| {
        let output = Workspace::empty().run(&[&["load", "127.0.0.1:1", "Check"], arguments].concat());
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused(&[]).contains("--rate <CALLS>|--concurrency <CALLERS>"));
    assert!(refused(&["--rate", "-1"]).contains("more than 0 and at most 1000000"));
    assert!(refused(&["--rate", "1", "--duration", "1s", "--ramp", "2s"]).contains("--ramp must not be longer"));
    assert!(refused(&["--rate", "1"]).contains("no connection to 127.0.0.1:1"));
}
