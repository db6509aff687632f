//! `up` over real processes: a workspace whose services do nothing but say SERVING.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// Tests fail rather than wait longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// A workspace with the services `alpha` and `beta`, of which `beta` calls `alpha`.
struct Stack {
    root: TempDir,
    ports: [u16; 4],
}

/// A running `up`, which is ended when a test fails.
struct Up {
    child: Child,
}

impl Stack {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("Cargo.toml"), "[workspace]\n").unwrap();
        std::fs::create_dir(root.path().join("bin")).unwrap();
        // Below the ports that the kernel hands out, and others for each test, so that none is taken meanwhile.
        static STACKS: AtomicU16 = AtomicU16::new(0);
        let process = u16::try_from(std::process::id() % 180).unwrap();
        let first = 10_000 + 120 * process + 4 * STACKS.fetch_add(1, Ordering::Relaxed);
        let ports = [first, first + 1, first + 2, first + 3];
        let stack = Self { root, ports };
        stack.service("alpha", ports[0], ports[1], "sql = true");
        stack.service("beta", ports[2], ports[3], "calls = ['alpha']");
        stack
    }

    fn service(&self, name: &str, port: u16, metrics_port: u16, more: &str) {
        let folder = self.root.path().join("services").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let manifest = format!(
            "[package]\nname = '{name}'\n[package.metadata.seawall]\nport = {port}\nmetrics_port = {metrics_port}\n{more}\n"
        );
        std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        std::fs::copy(fake_service(), self.root.path().join("bin").join(name)).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-seawall"));
        command.current_dir(self.root.path()).args(arguments).stdin(Stdio::null());
        command
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn start(&self, environment: &[(&str, &str)]) -> Up {
        let mut command = self.command(&["up", "--prebuilt", "bin"]);
        let child = command.envs(environment.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Up { child: child.unwrap() }
    }

    fn ps(&self) -> Value {
        let output = self.output(&["ps", "--json"]);
        assert!(output.status.success());
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Whether `up` has said so; it is a moment later than the last service.
    fn is_ready(&self) -> bool {
        let state = std::fs::read_to_string(self.root.path().join(".seawall/state.json"));
        state.is_ok_and(|state| serde_json::from_str::<Value>(&state).unwrap()["phase"] == "ready")
    }

    /// Waits until `up` is ready and a service is in that state, and answers its process id.
    fn wait_for(&self, name: &str, condition: &str) -> i32 {
        let mut last = Value::Null;
        poll(|| {
            last = self.ps();
            let services = last["services"].as_array().unwrap();
            let service = services.iter().find(|service| service["name"] == name)?;
            (service["state"] == condition && self.is_ready())
                .then(|| i32::try_from(service["pid"].as_i64().unwrap_or(0)).unwrap())
        })
        .unwrap_or_else(|| panic!("{name} never was {condition}; last seen: {last}"))
    }
}

impl Up {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Waits for the end; the code, and what was said on standard output and standard error.
    fn end(mut self) -> (Option<i32>, String, String) {
        let status = poll(|| self.child.try_wait().unwrap()).expect("`up` does not end");
        let read = |stream: Option<&mut dyn std::io::Read>| {
            let mut text = String::new();
            stream.unwrap().read_to_string(&mut text).unwrap();
            text
        };
        let output = read(self.child.stdout.as_mut().map(|stream| stream as _));
        let errors = read(self.child.stderr.as_mut().map(|stream| stream as _));
        (status.code(), output, errors)
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program, built now if it is not up to date: cargo builds examples only for a run of all tests.
fn fake_service() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--package", "seawall-cli", "--example", "fake-service"]);
        // What cargo tells a test of its package would have it build anew what looks at that, such as ring.
        let told = |name: &str| ["CARGO_PKG_", "CARGO_MANIFEST_", "OUT_DIR"].iter().any(|told| name.starts_with(told));
        for (name, _) in std::env::vars().filter(|(name, _)| told(name)) {
            cargo.env_remove(name);
        }
        assert!(cargo.status().unwrap().success(), "fake-service does not build");
        std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/fake-service")
    })
}

/// Asks until there is an answer, for a bounded time.
fn poll<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        runtime.block_on(async { tokio::time::sleep(Duration::from_millis(20)).await });
    }
    None
}

fn is_running(pid: i32) -> bool {
    // A zombie no longer runs; it waits for a parent that reads its code.
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    status.is_ok_and(|status| !status.contains("State:\tZ"))
}

fn assert_gone(pids: &[i32]) {
    for pid in pids {
        assert!(*pid > 1);
        assert!(poll(|| (!is_running(*pid)).then_some(())).is_some(), "{pid} was left behind");
    }
}

#[test]
fn ctrl_c_ends_everything_in_time_and_leaves_a_table_behind() {
    let stack = Stack::new();
    let up = stack.start(&[]);
    let pids = [stack.wait_for("alpha", "serving"), stack.wait_for("beta", "serving")];
    let alpha = stack.ps()["services"][0].clone();
    let (address, metrics) = (alpha["address"].as_str().unwrap(), alpha["metrics"].as_str().unwrap());
    let began = Instant::now();
    up.signal(Signal::SIGINT);
    let (code, output, errors) = up.end();
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(code, Some(0), "{errors}");
    assert_gone(&pids);
    let row = format!("alpha    {address}  http://{metrics}/metrics  serving  sqlite");
    assert!(output.contains(&row), "{output}");
    assert!(!output.contains('\u{1b}') && !errors.contains('\u{1b}'), "colours belong on terminals");
}

#[test]
fn callers_start_after_and_stop_before_the_services_they_call() {
    let stack = Stack::new();
    let journal = stack.root.path().join("journal");
    let up = stack.start(&[("FAKE_JOURNAL", journal.to_str().unwrap()), ("FAKE_SLOW", "alpha")]);
    stack.wait_for("beta", "serving");
    up.signal(Signal::SIGTERM);
    up.end();
    assert_eq!(std::fs::read_to_string(journal).unwrap(), "alpha starts\nbeta starts\nbeta ends\nalpha ends\n");
}

#[test]
fn a_service_that_ignores_the_signal_is_killed_in_time() {
    let stack = Stack::new();
    let up = stack.start(&[("FAKE_STUBBORN", "alpha")]);
    let pids = [stack.wait_for("alpha", "serving"), stack.wait_for("beta", "serving")];
    let began = Instant::now();
    up.signal(Signal::SIGINT);
    up.end();
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_gone(&pids);
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_that_is_gone_keeps_nothing_from_ending_in_order() {
    let stack = Stack::new();
    // Writing to it fails, as it does to a terminal that has been closed.
    let gone = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = stack.command(&["up", "--prebuilt", "bin"]);
    let mut up = Up { child: command.stdout(gone()).stderr(gone()).spawn().unwrap() };
    let pids = [stack.wait_for("alpha", "serving"), stack.wait_for("beta", "serving")];
    up.signal(Signal::SIGHUP);
    let status = poll(|| up.child.try_wait().unwrap()).expect("`up` does not end");
    assert_eq!(status.code(), Some(0));
    assert_gone(&pids);
    assert!(!stack.root.path().join(".seawall/state.json").exists());
}

#[test]
fn services_end_also_when_up_is_killed() {
    let stack = Stack::new();
    let up = stack.start(&[]);
    let pids = [stack.wait_for("alpha", "serving"), stack.wait_for("beta", "serving")];
    up.signal(Signal::SIGKILL);
    up.end();
    assert_gone(&pids);
    assert_eq!(stack.ps()["services"], Value::Array(Vec::new()));
}

#[test]
fn the_next_up_ends_what_a_killed_one_left_behind() {
    let stack = Stack::new();
    let up = stack.start(&[("FAKE_STUBBORN", "alpha")]);
    let alpha = stack.wait_for("alpha", "serving");
    stack.wait_for("beta", "serving");
    up.signal(Signal::SIGKILL);
    up.end();
    assert!(is_running(alpha), "it ignores the signal at the parent's death");
    let up = stack.start(&[]);
    stack.wait_for("beta", "serving");
    assert_gone(&[alpha]);
    up.signal(Signal::SIGTERM);
    let (_, _, errors) = up.end();
    assert!(errors.contains("that an earlier `up` left behind when it was killed"), "{errors}");
}

#[test]
fn a_service_that_fails_to_start_is_explained_and_the_others_are_stopped() {
    let stack = Stack::new();
    let up = stack.start(&[("FAKE_FAIL", "beta")]);
    let (code, _, errors) = up.end();
    assert_eq!(code, Some(1));
    assert!(errors.contains("error: beta did not start: it exited with code 3"), "{errors}");
    assert!(errors.contains("cargo seawall logs beta"), "{errors}");
    assert!(!errors.contains("line 6 of") && errors.contains("line 7 of") && errors.contains("no storage"), "{errors}");
    let left: Vec<PathBuf> = processes_under(stack.root.path());
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[test]
fn a_taken_port_is_replaced_by_the_next_free_one_and_said() {
    let stack = Stack::new();
    let taken = TcpListener::bind(("127.0.0.1", stack.ports[0])).unwrap();
    let up = stack.start(&[]);
    stack.wait_for("beta", "serving");
    let address = stack.ps()["services"][0]["address"].as_str().unwrap().to_owned();
    assert_ne!(address, taken.local_addr().unwrap().to_string());
    up.signal(Signal::SIGTERM);
    let (_, _, errors) = up.end();
    assert!(errors.contains(&format!("{} of alpha is taken", stack.ports[0])), "{errors}");
}

#[test]
fn a_service_that_dies_is_restarted_on_its_port() {
    let stack = Stack::new();
    let up = stack.start(&[]);
    let first = stack.wait_for("alpha", "serving");
    stack.wait_for("beta", "serving");
    let address = stack.ps()["services"][0]["address"].clone();
    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    stack.wait_for("alpha", "restarting");
    let second = stack.wait_for("alpha", "serving");
    assert_ne!(first, second);
    assert_eq!(stack.ps()["services"][0]["address"], address);
    up.signal(Signal::SIGTERM);
    let (_, _, errors) = up.end();
    assert!(errors.contains("Died alpha: it was ended by SIGKILL"), "{errors}");
    assert!(errors.contains(&format!("Serving alpha again, pid {second}")), "{errors}");
}

#[test]
fn a_second_up_is_refused_with_what_to_do() {
    let stack = Stack::new();
    let up = stack.start(&[]);
    stack.wait_for("beta", "serving");
    let second = stack.output(&["up", "--prebuilt", "bin"]);
    let errors = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(errors.contains(&format!("(pid {})", up.child.id())) && errors.contains("cargo seawall down"), "{errors}");
}

#[test]
fn detached_it_returns_when_ready_and_down_ends_it() {
    let stack = Stack::new();
    let up = stack.output(&["up", "--prebuilt", "bin", "--detach", "--json"]);
    assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
    let ready: Value = serde_json::from_slice(&up.stdout).unwrap();
    assert_eq!(ready, stack.ps());
    let pids: Vec<i32> = (ready["services"].as_array().unwrap().iter())
        .map(|service| {
            assert_eq!(service["state"], "serving");
            i32::try_from(service["pid"].as_i64().unwrap()).unwrap()
        })
        .collect();
    let second = stack.output(&["up", "--prebuilt", "bin", "--detach"]);
    assert_eq!(second.status.code(), Some(1));
    let log = std::fs::read_to_string(stack.root.path().join(".seawall/logs/up.log")).unwrap();
    assert!(log.contains("Serving beta"), "the log is still that of the first: {log}");
    let down = stack.output(&["down"]);
    assert!(down.status.success());
    assert!(String::from_utf8(down.stdout).unwrap().starts_with("Ended 2 services in "));
    assert_gone(&pids);
    assert_eq!(String::from_utf8(stack.output(&["down"]).stdout).unwrap(), "Nothing runs here.\n");
}

#[test]
fn a_detached_up_that_fails_says_why() {
    let stack = Stack::new();
    let up = stack.command(&["up", "--prebuilt", "bin", "--detach"]).env("FAKE_FAIL", "alpha").output().unwrap();
    assert_eq!(up.status.code(), Some(1));
    let errors = String::from_utf8(up.stderr).unwrap();
    assert!(errors.contains("error: alpha did not start: it exited with code 3"), "{errors}");
}

#[test]
fn logs_show_what_the_services_wrote() {
    let stack = Stack::new();
    let up = stack.start(&[]);
    stack.wait_for("beta", "serving");
    let logs = String::from_utf8(stack.output(&["logs"]).stdout).unwrap();
    assert!(logs.contains("10:00:00.000  INFO alpha  serving on 127.0.0.1:"), "{logs}");
    let beta = String::from_utf8(stack.output(&["logs", "--json", "beta"]).stdout).unwrap();
    assert!(beta.starts_with(r#"{"timestamp":"2026-11-21T10:00:00.000000Z""#) && !beta.contains("alpha"), "{beta}");
    drop(up);
}

#[test]
fn what_cannot_be_started_beside_the_services_is_told_with_how_to_get_it() {
    let stack = Stack::new();
    let nowhere = stack.root.path().join("nowhere");
    let output = stack.command(&["up", "--prebuilt", "bin", "--with", "jaeger"]).env("PATH", nowhere).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("Jaeger was not found on this machine; get version 2 from"), "{errors}");
}

#[test]
fn a_service_reaches_those_it_calls_by_what_it_is_handed() {
    let stack = Stack::new();
    stack.service("beta", stack.ports[2], stack.ports[3], "calls = ['alpha']\nredis = true");
    let environment = stack.root.path().join("environment");
    let mut command = stack.command(&["up", "--prebuilt", "bin", "--with", "redis=redis://me:secret@cache:6379"]);
    command.env("FAKE_ENVIRONMENT", &environment).env("SEAWALL_SQL_SIZE_MAX", "3").stderr(Stdio::piped());
    let up = Up { child: command.stdout(Stdio::piped()).spawn().unwrap() };
    stack.wait_for("beta", "serving");
    let ps = stack.ps();
    assert_eq!(ps["redis"], "redis://cache:6379", "the password is not shown");
    up.signal(Signal::SIGTERM);
    up.end();
    let handed = std::fs::read_to_string(environment).unwrap();
    let data = stack.root.path().canonicalize().unwrap().join(".seawall/data/alpha.db");
    let address = |service: usize| ps["services"][service]["address"].as_str().unwrap();
    for expected in [
        format!("alpha SEAWALL_SQL_URL=sqlite://{}\n", data.display()),
        "alpha SEAWALL_SQL_SIZE_MAX=3\n".to_owned(),
        format!("beta SEAWALL_ALPHA_ADDRESS=http://{}\n", address(0)),
        format!("beta SEAWALL_SERVER_LISTEN={}\n", address(1)),
        format!("beta SEAWALL_TELEMETRY_OTLP_ENDPOINT=http://{}\n", ps["otlp"].as_str().unwrap()),
        "beta SEAWALL_REDIS_URL=redis://me:secret@cache:6379\n".to_owned(),
    ] {
        assert!(handed.contains(&expected), "{expected} is not in:\n{handed}");
    }
    assert!(!handed.contains("beta SEAWALL_SQL") && !handed.contains("alpha SEAWALL_REDIS"), "{handed}");
}

#[test]
fn with_tls_everybody_proves_who_they_are_and_you_are_told_how() {
    let stack = Stack::new();
    let environment = stack.root.path().join("environment");
    let mut command = stack.command(&["up", "--prebuilt", "bin", "--tls"]);
    command.env("FAKE_ENVIRONMENT", &environment).stderr(Stdio::piped());
    let up = Up { child: command.stdout(Stdio::piped()).spawn().unwrap() };
    // Which is what `up` has asked them, by TLS.
    stack.wait_for("beta", "serving");
    let ps = stack.ps();
    assert_eq!(ps["tls"]["identity"], "spiffe://seawall.local/people/developer");
    let address = ps["services"][0]["address"].as_str().unwrap().to_owned();
    assert!(!speaks_plaintext(&address), "alpha answers without TLS");
    up.signal(Signal::SIGTERM);
    let (_, output, errors) = up.end();
    let flags = "-cacert .seawall/tls/ca.pem -cert .seawall/tls/developer.pem -key .seawall/tls/developer.key";
    let call = format!("grpcurl {flags} {address} grpc.health.v1.Health/Check");
    assert!(output.contains(&call), "{call} is not in:\n{output}{errors}");
    let handed = std::fs::read_to_string(environment).unwrap();
    let folder = stack.root.path().canonicalize().unwrap().join(".seawall/tls");
    let you = "spiffe://seawall.local/people/developer";
    for expected in [
        format!("alpha SEAWALL_TLS_CLIENTS=spiffe://seawall.local/beta,{you}\n"),
        format!("alpha SEAWALL_TLS_CERT={}/services/alpha.pem\n", folder.display()),
        format!("beta SEAWALL_TLS_CLIENTS={you}\n"),
        format!("beta SEAWALL_ALPHA_ADDRESS=https://{address}\n"),
        "beta SEAWALL_ALPHA_IDENTITY=spiffe://seawall.local/alpha\n".to_owned(),
    ] {
        assert!(handed.contains(&expected), "{expected} is not in:\n{handed}");
    }
}

/// Whether anything but an alert of TLS comes back for the beginning of HTTP/2.
fn speaks_plaintext(address: &str) -> bool {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = Vec::new();
    // A connection that is reset has said what it had to.
    let _ = stream.read_to_end(&mut answer);
    // The first byte of a record that is an alert.
    answer.first().is_some_and(|byte| *byte != 21)
}

#[test]
fn a_server_that_is_away_is_named_without_its_password() {
    let stack = Stack::new();
    let url = "postgres=postgres://me:secret@127.0.0.1:1/postgres";
    let output = stack.output(&["up", "--prebuilt", "bin", "--with", url]);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("error: postgres://127.0.0.1:1/postgres cannot be used"), "{errors}");
    assert!(!errors.contains("secret"), "{errors}");
}

#[test]
fn unknown_services_are_told_before_anything_starts() {
    let stack = Stack::new();
    let output = stack.output(&["up", "gamma"]);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("\"gamma\" is no service of this workspace; there are: alpha, beta"), "{errors}");
    assert!(!stack.root.path().join(".seawall").exists());
}

/// The programs of running processes that lie below `root`.
fn processes_under(root: &Path) -> Vec<PathBuf> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let programs = processes.filter_map(|process| std::fs::read_link(process.path().join("exe")).ok());
    programs.filter(|program| program.starts_with(root)).collect()
}
