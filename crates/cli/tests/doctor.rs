//! `doctor` in a workspace whose services are scripts that answer to `--check`.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use seawall_auth::tls::LocalCa;
use seawall_config::ExposeSecret as _;
use serde_json::Value;
use tempfile::TempDir;

/// Says what it was asked and given, and finds fault with what is for development.
const SERVICE: &str = r#"#!/bin/sh
echo "$* reflection=$SEAWALL_SERVER_REFLECTION user=$SEAWALL_USER_ADDRESS" >> "$(dirname "$0")/asked"
case "$*" in *--production*)
  echo "order: 2 mistakes in the settings:" >&2
  echo "  - server.reflection (SEAWALL_SERVER_REFLECTION): must be false, since it tells" >&2
  echo "  - tls.cert (SEAWALL_TLS_CERT): must be set, since it hides" >&2
  exit 2;; esac
"#;

struct Workspace {
    root: TempDir,
}

impl Workspace {
    /// With the service `order`, on this port, and `user`, which is not built.
    fn new(port: u16) -> Self {
        let workspace = Self { root: tempfile::tempdir().unwrap() };
        workspace.write("Cargo.toml", "[workspace]\n[workspace.package]\nrust-version = '1.2'\n");
        let manifest = format!(
            "[package]\nname = 'order'\n[package.metadata.seawall]\nport = {port}\nmetrics_port = 2\ncalls = ['user']\n"
        );
        workspace.write("services/order/Cargo.toml", &manifest);
        workspace.write("bin/order", SERVICE);
        let program = workspace.root.path().join("bin/order");
        std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
        workspace
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-seawall"));
        command
            .current_dir(self.root.path())
            .args(["doctor", "--prebuilt", "bin"])
            .args(arguments)
            .stdin(Stdio::null());
        // What the surroundings of the test have set.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SEAWALL_")) {
            command.env_remove(name);
        }
        command
    }

    /// Its findings, and whether there was no problem.
    fn findings(&self, arguments: &[&str], variables: &[(&str, &str)]) -> (Vec<Value>, bool) {
        let output = self.command(arguments).arg("--json").envs(variables.iter().copied()).output().unwrap();
        let json: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        assert_eq!(output.status.success(), json["problems"] == 0, "{json}");
        (json["findings"].as_array().unwrap().clone(), output.status.success())
    }
}

/// The findings about something, as `level: what; fix`.
fn about(findings: &[Value], what: &str) -> Vec<String> {
    let of = findings.iter().filter(|finding| finding["about"] == what);
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    of.map(|finding| format!("{}: {}; {}", text(finding, "level"), text(finding, "what"), text(finding, "fix")))
        .collect()
}

#[test]
fn a_port_that_is_taken_is_told_with_who_has_it() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let workspace = Workspace::new(port);
    let (findings, _) = workspace.findings(&[], &[]);
    let ports = about(&findings, "ports").join("\n");
    assert!(ports.contains(&format!("warning: {port}, for order, is taken by ")), "{ports}");
    if cfg!(target_os = "linux") {
        assert!(ports.contains(&format!("pid {}", std::process::id())), "{ports}");
    }
    drop(listener);
    let (findings, _) = workspace.findings(&[], &[]);
    assert!(
        about(&findings, "ports").iter().any(|line| line.starts_with("ok: free: ") && line.contains(&port.to_string()))
    );
}

#[test]
fn the_machine_is_looked_at_and_what_is_missing_has_a_fix() {
    let workspace = Workspace::new(1);
    let (findings, good) = workspace.findings(&[], &[]);
    assert!(good, "{findings:#?}");
    assert!(about(&findings, "toolchain")[0].starts_with("ok: rustc "), "{findings:#?}");
    assert!(findings.iter().any(|finding| finding["about"] == "disk"));
    let nowhere = workspace.root.path().join("nowhere").display().to_string();
    let (findings, good) = workspace.findings(&[], &[("PATH", &nowhere)]);
    let toolchain = about(&findings, "toolchain");
    assert!(!good && toolchain[0].contains("problem: rustc is not on PATH; install Rust"), "{toolchain:?}");
    assert!(toolchain[1].contains("problem: there is no C compiler"), "{toolchain:?}");

    workspace.write("Cargo.toml", "[workspace]\n[workspace.package]\nrust-version = '999.0'\n");
    let (findings, good) = workspace.findings(&[], &[]);
    assert!(!good && about(&findings, "toolchain")[0].contains("is older than 999.0"), "{findings:#?}");
}

#[test]
fn settings_are_asked_of_the_service_as_it_would_be_started() {
    let workspace = Workspace::new(1);
    let (findings, _) = workspace.findings(&[], &[("SEAWALL_USER_ADDRESS", "http://user:1")]);
    assert_eq!(about(&findings, "settings"), ["ok: order: its settings are good; "]);
    let asked = std::fs::read_to_string(workspace.root.path().join("bin/asked")).unwrap();
    assert_eq!(asked, "--check reflection=true user=http://user:1\n");
}

#[test]
fn what_is_for_development_alone_is_a_problem_in_production() {
    let workspace = Workspace::new(1);
    let (findings, good) = workspace.findings(&["--prod"], &[]);
    assert!(!good);
    let expected = [
        "problem: order: server.reflection (SEAWALL_SERVER_REFLECTION); set SEAWALL_SERVER_REFLECTION to false, since it tells",
        "problem: order: tls.cert (SEAWALL_TLS_CERT); SEAWALL_TLS_CERT must be set, since it hides",
    ];
    assert_eq!(about(&findings, "settings for development alone"), expected);
    let asked = std::fs::read_to_string(workspace.root.path().join("bin/asked")).unwrap();
    assert_eq!(asked, "--check --production reflection= user=\n", "nothing is set as `up` would");

    workspace.write("bin/order", "#!/bin/sh\necho \"error: unexpected argument '--production' found\" >&2\nexit 2\n");
    let (findings, _) = workspace.findings(&["--prod"], &[]);
    let old = about(&findings, "settings for development alone");
    assert_eq!(old, ["problem: order was built before it could tell; cargo build --package order, and again"]);

    std::fs::remove_file(workspace.root.path().join("bin/order")).unwrap();
    let (findings, good) = workspace.findings(&["--prod"], &[]);
    assert!(!good && about(&findings, "settings for development alone")[0].contains("cargo build --package order"));
    assert!(workspace.findings(&[], &[]).1, "to try it out, it need not be built yet");
}

#[test]
fn databases_are_called_and_their_passwords_are_not_told() {
    let workspace = Workspace::new(1);
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let there = format!("postgres://me:s3cret@{}/shop", listener.local_addr().unwrap());
    let (findings, good) =
        workspace.findings(&[], &[("SEAWALL_SQL_URL", &there), ("SEAWALL_REDIS_URL", "redis://:s3cret@127.0.0.1:1")]);
    let databases = about(&findings, "databases");
    assert!(
        databases[0].starts_with("ok: sql.url: 127.0.0.1:")
            && databases[1].starts_with("problem: redis.url: no connection to 127.0.0.1:1: "),
        "{databases:?}"
    );
    assert!(!good && !format!("{findings:?}").contains("s3cret"));
    // The file counts as it does for services.
    workspace.write("prod.toml", "[sql]\nurl = 'sqlite:///no/such/folder/shop.db'\n");
    let (findings, _) = workspace.findings(&[], &[("SEAWALL_CONFIG", "prod.toml")]);
    assert!(about(&findings, "databases")[0].contains("mkdir -p /no/such/folder"), "{findings:#?}");
}

#[test]
fn a_certificate_that_ends_soon_is_told() {
    let workspace = Workspace::new(1);
    let path = |name: &str| workspace.root.path().join(name).display().to_string();
    let (cert, key, ca) = (path("cert.pem"), path("cert.key"), path("ca.pem"));
    let variables = [("SEAWALL_TLS_CERT", &*cert), ("SEAWALL_TLS_KEY", &key), ("SEAWALL_TLS_CA", &ca)];
    let for_days = |days: u64| {
        let now = SystemTime::now();
        let valid = now - Duration::from_secs(60)..now + Duration::from_secs(days * 24 * 3_600 + 3_600);
        let authority = LocalCa::try_new("test", &valid).unwrap();
        let issued = authority.issue(&["spiffe://shop/order".parse().unwrap()], &valid).unwrap();
        workspace.write("cert.pem", &issued.cert);
        workspace.write("cert.key", issued.key.expose_secret());
        workspace.write("ca.pem", &authority.certificate());
        about(&workspace.findings(&[], &variables).0, "certificates").join("\n")
    };
    assert!(for_days(30).starts_with("ok: tls.cert holds for 30 days, until "));
    assert!(for_days(3).starts_with("warning: tls.cert holds for 3 days, until "));
    assert!(for_days(1).starts_with("warning: tls.cert holds for 24 hours, until "));
    std::fs::remove_file(&key).unwrap();
    let (findings, good) = workspace.findings(&[], &variables);
    assert!(!good && about(&findings, "certificates")[0].contains("tls.key"), "{findings:#?}");
}

#[test]
fn people_get_a_list_without_colours_off_a_terminal() {
    let workspace = Workspace::new(1);
    let output = workspace.command(&["--prod"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let expected = "settings for development alone\n  problem  order: server.reflection (SEAWALL_SERVER_REFLECTION)\n           \
                    fix: set SEAWALL_SERVER_REFLECTION to false, since it tells\n";
    assert!(text.contains(expected) && text.ends_with("2 problems, 0 warnings\n"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}
