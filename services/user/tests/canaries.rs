//! What is secret stays out of all that the service tells of itself, while it says as much as it can: its
//! log at the level of trace, and what it exports, byte by byte.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;
use seawall_proto::seawall::user::v1::{CreateUserRequest, GetUserRequest, User};
use seawall_testkit::{Collector, binary, postgres};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request};

/// In every secret that is planted; the rest says where.
const MARK: &str = "CanaryInTheMine";

/// Everything that was written or sent, by whom.
#[derive(Default)]
struct Heard(String);

impl Heard {
    fn add(&mut self, from: &str, bytes: &[u8]) {
        let _ = write!(self.0, "\n--- {from} ---\n{}", String::from_utf8_lossy(bytes));
    }

    /// # Panics
    /// With the line of it, if a secret was heard in any form that it is sent in.
    fn has_no_secret(&self) {
        // Wherever its first byte falls, base64 has one of three forms of what is in the middle.
        let forms = (0..3).map(|shift| {
            let padded = [&vec![b'.'; shift], MARK.as_bytes()].concat();
            let form = STANDARD.encode(padded);
            form[shift.min(1) * 4..form.len() - 4].to_owned()
        });
        let forms: Vec<String> = forms.chain([MARK.to_owned(), MARK.to_lowercase()]).collect();
        for line in self.0.lines() {
            let found = forms.iter().find(|form| line.contains(form.as_str()));
            assert!(found.is_none(), "{found:?} in {}", line.chars().take(2_000).collect::<String>());
        }
    }
}

/// The service, whose output goes to a file, since there is much of it. Dropped, it is killed.
struct Running {
    child: Child,
    output: PathBuf,
}

impl Running {
    fn start(folder: &Path, settings: &[(&str, String)]) -> Self {
        let output = folder.join("output.log");
        let file = std::fs::File::create(&output).unwrap();
        let mut command = Command::new(binary("user"));
        command.env_clear().envs(settings.iter().map(|(name, value)| (*name, value.as_str()))).stdin(Stdio::null());
        let child = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Self { child, output }
    }

    fn output(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap()
    }

    /// Waits for a line of the log.
    async fn said(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let output = self.output();
            let mut lines = output.lines().filter_map(|line| serde_json::from_str(line).ok());
            if let Some(line) = lines.find(&is_it) {
                return line;
            }
            assert!(self.child.try_wait().unwrap().is_none(), "it has ended:\n{output}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Passes on what it is sent, and keeps a copy.
async fn listen_in(to: &str) -> (String, Arc<Mutex<Vec<u8>>>) {
    let to: SocketAddr = to.trim_start_matches("http://").parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let copy = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&copy);
    tokio::spawn(async move {
        while let Ok((from, _)) = listener.accept().await {
            let kept = Arc::clone(&kept);
            tokio::spawn(async move {
                let (mut asks, mut answers) = from.into_split();
                let (mut back, mut on) = TcpStream::connect(to).await.unwrap().into_split();
                tokio::spawn(async move { tokio::io::copy(&mut back, &mut answers).await });
                let mut bytes = [0; 65_536];
                while let Ok(length @ 1..) = asks.read(&mut bytes).await {
                    kept.lock().unwrap().extend(&bytes[..length]);
                    if on.write_all(&bytes[..length]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (format!("http://{address}"), copy)
}

/// A token about `ada` whose signature is good, and the set of keys that says so.
fn token() -> (String, String) {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let exp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 600;
    let claims = json!({
        "iss": "https://id.example", "aud": "shop", "sub": "ada", "exp": exp, "scope": "users.read users.write",
        "secret": format!("{MARK}-claim"),
    });
    let parts = [json!({"alg": "EdDSA", "kid": "a"}), claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let signed = parts.join(".");
    let signature = URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()));
    let key = json!({"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": URL_SAFE_NO_PAD.encode(pair.public_key())});
    (format!("{signed}.{signature}"), json!({"keys": [key]}).to_string())
}

/// A request with a secret in every place for one, in a recorded trace.
fn with_secrets<T>(message: T, authorization: &str, trace: u8) -> Request<T> {
    let mut request = Request::new(message);
    let metadata = request.metadata_mut();
    metadata.insert("traceparent", format!("00-{trace:032x}-00f067aa0ba902b7-01").parse().unwrap());
    metadata.insert("authorization", authorization.parse().unwrap());
    metadata.insert("cookie", format!("session={MARK}-cookie").parse().unwrap());
    metadata.insert("x-api-key", format!("{MARK}-api-key").parse().unwrap());
    metadata.insert_bin("secret-bin", MetadataValue::from_bytes(format!("{MARK}-bin").as_bytes()));
    request
}

async fn page(address: SocketAddr, method: &str, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\nauthorization: Basic {MARK}\r\ncookie: {MARK}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_a_line_a_span_a_metric_or_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite://{}", folder.path().join("user.db").display());
    // The server asks for no password, and the client sends the one that it has all the same if asked.
    let with_password = |url: String| url.replace("postgres@", &format!("postgres:{MARK}-sql@"));
    let sql_url = postgres::database().await.map_or(sqlite, with_password);
    let collector = Collector::start().await;
    let (otlp, exported) = listen_in(collector.endpoint()).await;
    let (token, keys) = token();
    let jwks = folder.path().join("jwks.json");
    std::fs::write(&jwks, keys).unwrap();
    let mut user = Running::start(
        folder.path(),
        &[
            ("SEAWALL_SERVER_LISTEN", "127.0.0.1:0".to_owned()),
            ("SEAWALL_SERVER_METRICS_LISTEN", "127.0.0.1:0".to_owned()),
            ("SEAWALL_SERVER_REFLECTION", "true".to_owned()),
            ("SEAWALL_SERVER_ADMIN", "write".to_owned()),
            ("SEAWALL_SQL_URL", sql_url),
            // Nobody is there, which is told.
            ("SEAWALL_REDIS_URL", format!("redis://me:{MARK}-redis@127.0.0.1:1")),
            ("SEAWALL_TELEMETRY_LOG_FILTER", "trace".to_owned()),
            ("SEAWALL_TELEMETRY_METRICS_INTERVAL", "1s".to_owned()),
            ("SEAWALL_TELEMETRY_OTLP_ENDPOINT", otlp),
            ("SEAWALL_AUTH_ENABLED", "true".to_owned()),
            ("SEAWALL_AUTH_ISSUER", "https://id.example".to_owned()),
            ("SEAWALL_AUTH_AUDIENCE", "shop".to_owned()),
            ("SEAWALL_AUTH_JWKS", jwks.display().to_string()),
        ],
    );
    let listening = user.said(|line| line["message"] == "listening").await;
    let at = |name: &str| listening[name].as_str().unwrap().parse::<SocketAddr>().unwrap();
    let (address, metrics) = (at("address"), at("metrics"));
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let mut users = UserServiceClient::new(channel);

    let name = |name: &str| User { email: "ada@example.com".into(), display_name: name.into(), ..User::default() };
    let bearer = format!("Bearer {token}");
    let new = CreateUserRequest { user: Some(name(&format!("{MARK}-name"))) };
    users.create_user(with_secrets(new.clone(), &bearer, 1)).await.unwrap();
    let taken = users.create_user(with_secrets(new, &bearer, 2)).await.unwrap_err();
    assert_eq!(taken.code(), Code::AlreadyExists);
    let long = CreateUserRequest { user: Some(name(&format!("{MARK}-long").repeat(20))) };
    let wrong = users.create_user(with_secrets(long, &bearer, 3)).await.unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument);
    let forged = format!("{bearer}{MARK}");
    let strange = format!("Bearer {MARK}.{MARK}.{MARK}");
    for (trace, authorization) in [(4, forged), (5, strange), (6, format!("Basic {MARK}"))] {
        let refused = users.get_user(with_secrets(GetUserRequest::default(), &authorization, trace)).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        assert!(!format!("{refused:?}").contains(MARK), "{refused:?}");
    }
    let id = GetUserRequest { user_id: format!("{MARK}-id") };
    users.get_user(with_secrets(id, &bearer, 7)).await.unwrap_err();

    let mut heard = Heard::default();
    for path in ["/metrics", "/policies", "/readyz", &format!("/{MARK}")] {
        heard.add("page", &page(metrics, "GET", path).await);
    }
    for trace in 1u8..=7 {
        let id = format!("{trace:032x}");
        let trace =
            collector.trace(&id, |trace| trace.spans.iter().any(|span| span.name.contains("UserService"))).await;
        if ["1", "2", "3", "7"].iter().any(|known| id.ends_with(known)) {
            let span = trace.spans.iter().find(|span| span.name.contains("UserService")).unwrap();
            assert_eq!(span.attribute("enduser.id"), Some("ada"), "who calls is in the span: {span:?}");
        }
    }
    collector.capture(|capture| !capture.logs().is_empty() && !capture.metric_points().is_empty()).await;
    let output = user.output();
    assert!(output.contains("\"level\":\"TRACE\""), "the log says as much as it can");
    heard.add("log", output.as_bytes());
    heard.add("export", &exported.lock().unwrap());
    heard.has_no_secret();
}

#[test]
fn no_secret_is_in_what_is_said_of_settings() {
    let mut heard = Heard::default();
    for (name, value) in [
        ("SEAWALL_SQL_URL", format!("mysql://me:{MARK}@host/a")),
        ("SEAWALL_REDIS_URL", format!("http://me:{MARK}@host")),
        ("SEAWALL_TELEMETRY_OTLP_ENDPOINT", format!("https://me:{MARK}@host:4317")),
        ("SEAWALL_AUTH_JWKS", format!("https://me:{MARK}@host/keys")),
        ("SEAWALL_AUTH_JWKS", format!("http://host/keys?key={MARK}")),
        ("SEAWALL_SERVER_LISTEN", format!("https://me:{MARK}@host")),
    ] {
        for argument in ["--check", "--settings"] {
            let told = Command::new(binary("user")).arg(argument).env_clear().env(name, &value).output().unwrap();
            let text = [told.stdout, told.stderr].concat();
            assert!(
                !text.is_empty() && told.status.code() == Some(if argument == "--check" { 2 } else { 0 }),
                "{value}"
            );
            heard.add(name, &text);
        }
    }
    heard.has_no_secret();
}

#[tokio::test]
async fn no_secret_is_in_what_is_said_of_a_database_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut user = Running::start(
        folder.path(),
        &[
            ("SEAWALL_SERVER_LISTEN", "127.0.0.1:0".to_owned()),
            ("SEAWALL_SERVER_METRICS_LISTEN", "127.0.0.1:0".to_owned()),
            ("SEAWALL_TELEMETRY_LOG_FILTER", "trace".to_owned()),
            ("SEAWALL_SQL_URL", format!("postgres://me:{MARK}-password@127.0.0.1:1/{MARK}-database")),
        ],
    );
    // It may wait for its database, or end.
    while user.child.try_wait().unwrap().is_none() && !user.output().contains("refused") {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let mut heard = Heard::default();
    heard.add("log", user.output().as_bytes());
    assert!(heard.0.contains("refused"), "{}", heard.0);
    heard.0 = heard.0.replace(&format!("{MARK}-database"), "");
    heard.has_no_secret();
}
