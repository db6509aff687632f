//! What the README says to run, run: in a copy of the workspace, in the order in which it stands there.

mod combinations;
mod standalone;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The lines of the README's `sh` blocks, block by block.
fn blocks() -> Vec<Vec<String>> {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let blocks = readme.split("\n```sh\n").skip(1).map(|rest| rest.split("\n```").next().unwrap());
    blocks.map(|block| block.lines().map(str::to_owned).collect()).collect()
}

/// A copy of what git knows of the workspace, and of what it does not ignore.
///
/// It is always at the same place and builds into a folder of its own: cargo takes what was built for
/// a copy elsewhere for its own, because it compares files and times but not where they are.
struct Copy {
    folder: PathBuf,
    up: Option<Child>,
}

impl Copy {
    fn new() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme");
        let copy = "mkdir -p \"$1\" && find \"$1\" -mindepth 1 -maxdepth 1 ! -name target -exec rm -rf {} + \
                    && git ls-files -z --cached --others --exclude-standard \
                    | while IFS= read -r -d '' file; do [ -e \"$file\" ] && printf '%s\\0' \"$file\"; done \
                    | tar --create --null --files-from - | tar --extract --directory \"$1\"";
        let done = Command::new("bash").args(["-c", copy, "copy"]).arg(&folder).current_dir(root()).status();
        assert!(done.unwrap().success(), "the workspace cannot be copied");
        Self { folder, up: None }
    }

    /// Runs lines in one shell and returns what they print.
    fn run(&self, lines: &[String]) -> String {
        let script = lines.join("\n");
        let since = Instant::now();
        let done = self.command("bash").args(["-euo", "pipefail", "-c", &script]).output().unwrap();
        println!("{:6.1} s  {}", since.elapsed().as_secs_f64(), lines[0]);
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{script}\n--- stdout ---\n{out}\n--- stderr ---\n{err}");
        out.into_owned()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).env("CARGO_TARGET_DIR", self.folder.join("target")).stdin(Stdio::null());
        // What cargo tells a test of its package; no shell has it.
        let told = |name: &str| ["CARGO_PKG_", "CARGO_MANIFEST_", "OUT_DIR"].iter().any(|told| name.starts_with(told));
        for (name, _) in std::env::vars().filter(|(name, _)| told(name)) {
            command.env_remove(name);
        }
        command
    }

    /// `cargo seawall up`, until it has printed what to call.
    fn up(&mut self) {
        let mut up = self.command("cargo").args(["seawall", "up"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(up.stdout.take().unwrap()).lines().map_while(Result::ok);
        let is_up = lines.by_ref().any(|line| line.contains("cargo seawall trace"));
        // Goes on reading, so that `up` never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        self.up = Some(up);
        assert!(is_up, "up ended without saying what to call");
    }

    /// Ctrl-C.
    fn interrupt(&mut self) {
        let mut up = self.up.take().unwrap();
        kill(Pid::from_raw(i32::try_from(up.id()).unwrap()), Signal::SIGINT).unwrap();
        assert!(up.wait().unwrap().success());
    }

    /// The lines with the addresses that `up` has really taken for those of the README: another stack
    /// may run here.
    fn here(&self, lines: &[String]) -> Vec<String> {
        let ps: Value = serde_json::from_str(&self.run(&["cargo seawall ps --json".to_owned()])).unwrap();
        let services = ps["services"].as_array().unwrap();
        let of = |name: &str, key: &str| {
            let service = services.iter().find(|service| service["name"] == name).unwrap();
            service[key].as_str().unwrap().to_owned()
        };
        let addresses = [
            ("127.0.0.1:50051", of("user", "address")),
            ("127.0.0.1:50052", of("order", "address")),
            ("127.0.0.1:9465", of("order", "metrics")),
        ];
        let line = |line: &String| addresses.iter().fold(line.clone(), |line, (from, to)| line.replace(from, to));
        lines.iter().map(line).collect()
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Some(up) = &mut self.up {
            let _ = up.kill();
            let _ = up.wait();
        }
        let _ = self.command("cargo").args(["seawall", "down"]).output();
    }
}

/// Whether a tool is to be left out, as `cargo seawall test` asks for where it cannot be had.
fn is_left_out(tool: &str) -> bool {
    std::env::var(format!("TEST_SKIP_{tool}")).is_ok_and(|skip| skip == "1")
}

#[test]
fn every_command_of_the_readme_does_what_it_says() {
    if is_left_out("GRPCURL") {
        println!("skipped: grpcurl is to be left out");
        return;
    }
    let found = Command::new("grpcurl").arg("-version").output();
    assert!(found.is_ok(), "grpcurl is not on PATH; `cargo seawall test` gets it and sets PATH");
    let mut copy = Copy::new();
    let blocks = blocks();
    let [up, calls, looks, trace, profile, policies, test, new] = &blocks[..] else {
        panic!("the README has {} blocks", blocks.len())
    };

    assert_eq!(up, &["cargo seawall up"]);
    calls_traces_and_policies(&mut copy, calls, looks, trace, profile, policies);
    if !is_left_out("POSTGRES") {
        on_postgres(&copy, calls);
    }
    by_tls(&copy, calls);
    // This is what is running now.
    assert_eq!(test, &["cargo seawall test"]);
    a_new_service(&copy, new);
}

fn calls_traces_and_policies(
    copy: &mut Copy,
    calls: &[String],
    looks: &[String],
    trace: &[String],
    profile: &[String],
    policies: &[String],
) {
    copy.up();
    let placed = copy.run(&copy.here(calls));
    assert!(placed.contains("\"state\": \"ORDER_STATE_PLACED\""), "{placed}");
    let looked = copy.run(&copy.here(looks));
    for expected in ["seawall.order.v1.OrderService", "rpc PlaceOrder", "grpc_server_call_started_total"] {
        assert!(looked.contains(expected), "{expected} is not in:\n{looked}");
    }
    // A person is slower than the export of spans; this is not, so it looks more than once.
    let complete = |traced: &String| {
        ["PlaceOrder", "order, user", "pool checkout", "COMMIT"].iter().all(|expected| traced.contains(expected))
    };
    let traced = (0..50).map(|_| copy.run(trace)).find(complete);
    assert!(traced.is_some(), "the trace is not complete:\n{}", copy.run(trace));
    if Command::new("go").arg("version").output().is_ok() {
        let profiled = copy.run(&copy.here(profile));
        assert!(profiled.contains("Type: cpu"), "{profiled}");
    } else {
        println!("skipped: go is not on PATH, so no profile is looked at");
    }
    let again = &copy.here(calls)[1..];
    assert!(placed.ends_with(&copy.run(again)), "the same key got another answer than\n{placed}");
    let policies = copy.run(&copy.here(policies));
    for expected in ["GetUser  500ms", "\"drop_probability\"", "\"in_flight\"", "done\ndone\n"] {
        assert!(policies.contains(expected), "{expected} is not in:\n{policies}");
    }
    copy.interrupt();
}

/// The row of the table that needs nothing but PostgreSQL; Jaeger and Docker are not on every machine.
fn on_postgres(copy: &Copy, calls: &[String]) {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.contains("| `cargo seawall up --with postgres` |"), "the README's table is another");
    copy.run(&["cargo seawall up --detach --with postgres".to_owned()]);
    let running = copy.run(&["cargo seawall ps 2>&1".to_owned()]);
    assert!(running.contains("serving  postgres "), "{running}");
    assert!(!running.contains("Compiling"), "up has built with another environment than a shell:\n{running}");
    let placed = copy.run(&copy.here(calls));
    assert!(placed.contains("\"state\": \"ORDER_STATE_PLACED\""), "{placed}");
    copy.run(&["cargo seawall down".to_owned()]);
}

/// Another row: the same calls, by TLS, with the files that `up` names. The user is there already.
fn by_tls(copy: &Copy, calls: &[String]) {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.contains("| `cargo seawall up --tls` |"), "the README's table is another");
    let printed = copy.run(&["cargo seawall up --detach --tls".to_owned()]);
    let flags = "-cacert .seawall/tls/ca.pem -cert .seawall/tls/developer.pem -key .seawall/tls/developer.key";
    assert!(printed.contains(&format!("grpcurl {flags} ")), "{printed}");
    let by_tls = |line: &String| line.replace("-plaintext", flags);
    let placed = copy.run(&copy.here(&calls[1..]).iter().map(by_tls).collect::<Vec<_>>());
    assert!(placed.contains("\"state\": \"ORDER_STATE_PLACED\""), "{placed}");
    let list = copy.here(&["grpcurl -plaintext 127.0.0.1:50051 list".to_owned()]);
    let refused = copy.command("bash").args(["-c", &list[0]]).status().unwrap();
    assert!(!refused.success(), "a call in plaintext was answered");
    copy.run(&["cargo seawall down".to_owned()]);
}

fn a_new_service(copy: &Copy, new: &[String]) {
    let running = copy.run(new);
    assert!(running.contains("billing") && running.contains("serving"), "{running}");
    combinations::of_every_kind(copy);
    standalone::beside(copy);
}
