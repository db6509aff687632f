//! Files that change while connections are open.

use std::io::Write;
use std::sync::{Mutex, Once};
use std::time::Duration;

use seawall_auth::tls::{Connector, Reason};
use tracing_subscriber::filter::LevelFilter;

use crate::mesh::{Mesh, PATIENCE, Server, authority, id, is_answered, until, valid};

/// Whether a new connection is of use.
async fn is_taken(server: &Server, connector: &Connector) -> bool {
    match server.connect(connector).await {
        Ok(mut stream) => is_answered(&mut stream).await,
        Err(_) => false,
    }
}

/// An authority that is replaced is one whose certificates are worth nothing: what there is of revocation.
#[tokio::test]
async fn who_was_trusted_by_an_authority_that_has_gone_is_refused() {
    let mesh = Mesh::good();
    let (mut server, old) = (mesh.user().await, mesh.order());
    let mut open = server.connect(&old).await.unwrap();
    assert!(is_answered(&mut open).await);

    // Both are trusted for a while, as whoever replaces an authority has to do it.
    let next = authority();
    mesh.write("ca.pem", &format!("{}{}", mesh.ca.certificate(), next.certificate()));
    mesh.issue("renewed", &next, &[id("order")], &valid());
    let renewed = Connector::try_new(&mesh.config("renewed", "ca.pem", &[]), Some(id("user"))).unwrap();
    until(async || is_taken(&server, &renewed).await).await;
    assert!(is_taken(&server, &old).await);

    mesh.issue("user", &next, &[id("user")], &valid());
    mesh.write("ca.pem", &next.certificate());
    let refuses_old = async || match server.connect(&old).await {
        // The caller trusts the server, and hears nothing from it.
        Ok(mut stream) => !is_answered(&mut stream).await,
        Err(_) => false,
    };
    until(async || refuses_old().await && is_taken(&server, &renewed).await).await;
    while server.taken().await != Err(Reason::UnknownAuthority) {}
    assert!(is_answered(&mut open).await, "what was open before goes on");
}

/// What is logged by all tests, as text.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Writer;

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is logged of the files in a folder.
struct Log(String);

impl Log {
    fn of(mesh: &Mesh) -> Self {
        // For all threads: what a thread without it logs first would be taken for what nobody wants.
        static LOGGED: Once = Once::new();
        LOGGED.call_once(|| {
            let lines = tracing_subscriber::fmt().with_max_level(LevelFilter::INFO).with_ansi(false);
            tracing::subscriber::set_global_default(lines.with_writer(|| Writer).finish()).unwrap();
        });
        Self(mesh.path("").display().to_string())
    }

    fn text(&self) -> String {
        let all = String::from_utf8_lossy(&LOG.lock().unwrap()).into_owned();
        all.lines().filter(|line| line.contains(&self.0)).collect::<Vec<_>>().join("\n")
    }

    fn count(&self, text: &str) -> usize {
        self.text().matches(text).count()
    }

    /// Waits until the text is there, that often.
    async fn until(&self, text: &str, count: usize) {
        let told = tokio::time::timeout(PATIENCE, async {
            while self.count(text) < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(told.await.is_ok(), "{text:?} is not {count} times in:\n{}", self.text());
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_refused_with_one_line_and_what_was_before_stays() {
    const REFUSED: &str = "have changed and are refused";
    let mesh = Mesh::good();
    let log = Log::of(&mesh);
    // A client whose files are not those that change.
    std::fs::copy(mesh.path("ca.pem"), mesh.path("mine.pem")).unwrap();
    let caller = |identity| Connector::try_new(&mesh.config("order", "mine.pem", &[]), Some(id(identity))).unwrap();
    let server = mesh.user().await;
    assert!(is_taken(&server, &caller("user")).await);

    mesh.write("ca.pem", "half of a certif");
    log.until(REFUSED, 1).await;
    // It is looked at again and again, and was told.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(log.count(REFUSED), 1);
    assert_eq!(log.count("ca.pem\": has no certificate"), 1);
    assert!(is_taken(&server, &caller("user")).await);

    mesh.write("ca.pem", &mesh.ca.certificate());
    log.until("again what is in use", 1).await;

    // A certificate whose key is yet to come.
    let issued = mesh.ca.issue(&[id("renamed")], &valid()).unwrap();
    mesh.write("user.pem", &issued.cert);
    log.until(REFUSED, 2).await;
    assert!(is_taken(&server, &caller("user")).await);
    mesh.write("user.key", seawall_config::ExposeSecret::expose_secret(&issued.key));
    log.until("have changed: new connections use them", 1).await;
    assert_eq!(log.count("identity=spiffe://shop/renamed"), 1);
    assert!(is_taken(&server, &caller("renamed")).await);
    assert!(!is_taken(&server, &caller("user")).await);
    assert_eq!(log.count(REFUSED), 2);
}
