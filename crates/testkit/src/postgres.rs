//! A fresh PostgreSQL database for each test that asks for one.
//!
//! The server is started with the first database and ends with the test process, however that one
//! ends: a static is never dropped, but the kernel closes the pipe that keeps the server alive.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use seawall_backends::{Options, Postgres, RunningPostgres, create_database, free_port};
use tokio::sync::OnceCell;
use tokio_postgres::NoTls;

/// Another process may take a port between our finding it free and the server's using it.
const START_ATTEMPTS_MAX: usize = 3;

/// Who answers: a server of our own, or the one of `TEST_POSTGRES_URL`.
enum Server {
    Own(Box<RunningPostgres>),
    Given(String),
}

static SERVER: OnceCell<Server> = OnceCell::const_new();
static DATABASES: AtomicU64 = AtomicU64::new(0);
/// The certificate of the authority of our own server's.
static AUTHORITY: OnceCell<PathBuf> = OnceCell::const_new();

/// The URL of a new, empty database.
///
/// The server is one throw-away PostgreSQL for each test process, started when first needed; or, if
/// the variable `TEST_POSTGRES_URL` is set, the server of that URL, where the database stays.
///
/// # Panics
/// If there is no PostgreSQL on this machine, with the words that say how to get it, or if it does
/// not start. With `TEST_SKIP_POSTGRES=1` the answer is `None` instead of the first.
pub async fn database() -> Option<String> {
    if std::env::var("TEST_SKIP_POSTGRES").is_ok_and(|skip| skip == "1") {
        eprintln!("skipped: TEST_SKIP_POSTGRES=1 says to leave PostgreSQL out");
        return None;
    }
    let server = SERVER.get_or_init(start).await;
    let number = DATABASES.fetch_add(1, Ordering::Relaxed);
    let started = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
    let name = format!("test_{}_{started}_{number}", std::process::id());
    let (admin, url) = match server {
        Server::Own(running) => (running.url("postgres"), running.url(&name)),
        Server::Given(admin) => (admin.clone(), with_database(admin, &name)),
    };
    create_database(&admin, &name).await.unwrap_or_else(|error| panic!("{}", chain(&error)));
    Some(url)
}

/// The same, by TLS: the URL asks for it and names the authority. The certificate is for 127.0.0.1 alone. None
/// where the server is a given one, whose certificate is not ours.
///
/// # Panics
/// As [`database`], and if the server takes no certificate.
pub async fn database_by_tls() -> Option<String> {
    let url = database().await?;
    let Some(Server::Own(server)) = SERVER.get() else {
        eprintln!("skipped: the server of TEST_POSTGRES_URL has a certificate of its own, or none");
        return None;
    };
    let authority = AUTHORITY.get_or_init(|| certify(server)).await;
    Some(format!("{url}?sslmode=verify-full&sslrootcert={}", authority.display()))
}

/// Gives the server a certificate, and answers the file with that of its authority.
async fn certify(server: &RunningPostgres) -> PathBuf {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();

    let url = server.url("postgres");
    let connect = async || {
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    };
    let client = connect().await;
    // It may be another user's, who alone may read the key: so it writes them itself, where it looks for them.
    for (file, pem) in [("server.crt", cert.pem()), ("server.key", key.serialize_pem()), ("authority.pem", ca.pem())] {
        let lines = format!("SELECT unnest(string_to_array('{}', E'\\n'))", pem.trim_end());
        client.batch_execute(&format!("COPY ({lines}) TO PROGRAM 'umask 077; cat > {file}'")).await.unwrap();
    }
    client.batch_execute("ALTER SYSTEM SET ssl = on").await.unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    for _ in 0..500 {
        let ssl: String = connect().await.query_one("SHOW ssl", &[]).await.unwrap().get(0);
        if ssl == "on" {
            return server.data_folder().join("authority.pem");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("PostgreSQL has not taken its certificate; why is in {}", server.data_folder().join("server.log").display());
}

async fn start() -> Server {
    if let Ok(url) = std::env::var("TEST_POSTGRES_URL") {
        return Server::Given(url);
    }
    let postgres = Postgres::find().unwrap_or_else(|missing| {
        panic!("{missing}; `cargo seawall test` installs it, and TEST_SKIP_POSTGRES=1 leaves these tests out")
    });
    let mut attempt = 1;
    loop {
        match start_once(&postgres).await {
            Ok(server) => return Server::Own(Box::new(server)),
            Err(error) if attempt == START_ATTEMPTS_MAX => panic!("{}", chain(&*error)),
            Err(_) => attempt += 1,
        }
    }
}

async fn start_once(postgres: &Postgres) -> Result<RunningPostgres, Box<dyn std::error::Error>> {
    // The server owns the folder in the end, whichever user it runs as, and so can remove it.
    let data = tempfile::Builder::new().prefix("seawall-test-").tempdir_in(if_there("/var/tmp"))?.keep();
    let options = Options { not_durable: true, remove_at_end: Some(data.clone()), ..Options::default() };
    // It is opened when the folder has been filled.
    let log = data.join("server.log");
    Ok(postgres.start(&data, free_port()?, &log, options).await?)
}

/// The system's folder for temporary files may be one that only we can enter.
fn if_there(folder: &str) -> PathBuf {
    let folder = PathBuf::from(folder);
    if folder.is_dir() { folder } else { std::env::temp_dir() }
}

/// Replaces the path of a URL.
fn with_database(url: &str, database: &str) -> String {
    let (base, query) = url.split_once('?').map_or((url, None), |(base, query)| (base, Some(query)));
    let host_from = base.find("://").map_or(0, |at| at + 3);
    let host_to = base[host_from..].find('/').map_or(base.len(), |at| host_from + at);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}/{database}{query}", &base[..host_to])
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn the_database_of_a_url_is_replaced() {
        for (url, replaced) in [
            ("postgres://u:p@h:1/old?sslmode=disable", "postgres://u:p@h:1/new?sslmode=disable"),
            ("postgres://u@h", "postgres://u@h/new"),
        ] {
            assert_eq!(with_database(url, "new"), replaced);
        }
    }
}
