//! PostgreSQL by TLS: that there is any, and whom it refuses.

use rcgen::{CertificateParams, KeyPair};
use seawall_pool::{Config, Error, Sql};
use seawall_testkit::postgres::database_by_tls;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

async fn refused(url: String) -> Error {
    Sql::open(&Config::new(url), &[]).await.unwrap_err()
}

/// All that is said to who runs the service.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[tokio::test]
async fn what_is_asked_for_is_what_there_is() {
    let Some(by_tls) = database_by_tls().await else { return };
    let plain = by_tls.split_once('?').unwrap().0.to_owned();
    let required = by_tls.replace("verify-full", "require");
    for (url, expected) in
        [(by_tls, true), (required, true), (plain.clone(), false), (plain + "?sslmode=disable", false)]
    {
        let sql = Sql::open(&Config::new(&url), &[]).await.unwrap();
        let said = "SELECT CAST(ssl AS int) AS ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let row = sql.query_opt(said, &[]).await.unwrap().unwrap();
        assert_eq!(row.get::<i64>("ssl").unwrap(), i64::from(expected), "{url}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_trusted_is_refused() {
    let Some(url) = database_by_tls().await else { return };
    let said = chain(&refused(url.replace("@127.0.0.1:", "@localhost:")).await);
    assert!(said.contains("the server is not trusted") && said.contains("not valid for name \"localhost\""), "{said}");

    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.pem");
    let cert = CertificateParams::default().self_signed(&KeyPair::generate().unwrap()).unwrap();
    std::fs::write(&other, cert.pem()).unwrap();
    let (base, _) = url.split_once("sslrootcert=").unwrap();
    let said = chain(&refused(format!("{base}sslrootcert={}", other.display())).await);
    assert!(said.contains("the server is not trusted"), "{said}");
    // That of the system has not signed it either, where there is any.
    refused(format!("{base}sslrootcert=system")).await;
}

#[tokio::test]
async fn a_server_without_tls_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut asked = [0; 8];
            socket.read_exact(&mut asked).await.unwrap();
            socket.write_all(b"N").await.unwrap();
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, CertificateParams::default().self_signed(&KeyPair::generate().unwrap()).unwrap().pem())
        .unwrap();
    let url =
        format!("postgres://ann:topsecret@127.0.0.1:{port}/shop?sslmode=verify-full&sslrootcert={}", ca.display());
    let said = chain(&refused(url).await);
    assert!(said.contains("server does not support TLS") && !said.contains("topsecret"), "{said}");
}
