//! Sets of keys, and the ring that has the latest.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use seawall_config::ExposeSecret as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::jwt::signer::{Signer, base64, jwks};
use crate::tls::LocalCa;

fn parse(keys: Value) -> Result<usize, KeysError> {
    Keys::parse(json!({ "keys": keys }).to_string().as_bytes()).map(|keys| keys.len())
}

#[test]
fn keys_that_are_not_for_us_are_left_out() {
    let good = Signer::p256("a").jwk();
    let with = |name: &str, value: Value| {
        let mut jwk = good.clone();
        jwk[name] = value;
        jwk
    };
    let weak = json!({"kty": "RSA", "n": base64([255; 128]), "e": "AQAB"});
    for other in [
        json!({"kty": "oct", "kid": "a", "k": base64("secret")}),
        json!({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}),
        weak,
        with("use", json!("enc")),
        with("key_ops", json!(["encrypt"])),
        with("alg", json!("ECDH-ES")),
        with("x", json!("AA")),
        with("crv", json!("P-384")),
        json!("key"),
        json!(null),
    ] {
        assert_eq!(parse(json!([other, good])), Ok(1), "{other}");
        assert_eq!(parse(json!([other])), Err(KeysError::NoneUsable), "{other}");
    }
    assert_eq!(parse(json!([with("use", json!("sig")), with("key_ops", json!(["verify"]))])), Ok(2));
}

#[test]
fn a_set_has_a_bound() {
    let key = Signer::ed25519("a").jwk();
    assert_eq!(parse(json!(vec![key.clone(); 64])), Ok(64));
    assert_eq!(parse(json!(vec![key; 65])), Err(KeysError::TooMany));
    assert_eq!(Keys::parse(&vec![b' '; JWKS_BYTES_MAX + 1]).unwrap_err(), KeysError::TooLong);
    assert_eq!(Keys::parse(b"[]").unwrap_err(), KeysError::Malformed);
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange_for_a_set(bytes in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,100}") {
        prop_assert!(Keys::parse(&bytes).is_err());
        let key = json!([{"kty": text, "n": text, "e": text}]);
        prop_assert!(parse(key).is_err());
    }
}

/// What an issuer of tests answers, and how often it was asked.
#[derive(Clone)]
struct Issuer {
    url: String,
    answers: Arc<std::sync::Mutex<String>>,
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    /// Answers with `status`, and with what is in `answers` at that time.
    async fn start(status: &'static str, body: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let issuer = Self { url, answers: Arc::new(body.into()), asked: Arc::default() };
        let (answers, asked) = (issuer.answers.clone(), issuer.asked.clone());
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                asked.fetch_add(1, Ordering::SeqCst);
                let mut request = [0; 1_024];
                let _ = stream.read(&mut request).await;
                let body = answers.lock().unwrap().clone();
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        issuer
    }

    fn source(&self) -> Source {
        Source::try_new(&self.url, None).unwrap()
    }
}

#[tokio::test]
async fn keys_come_over_http() {
    let issuer = Issuer::start("200 OK", jwks(&[&Signer::p256("a"), &Signer::rsa("b")])).await;
    assert_eq!(issuer.source().fetch().await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_answer_that_is_none_is_an_error_that_quotes_nothing() {
    let huge = "s3cret".repeat(100_000);
    for (status, body) in [
        ("200 OK", "s3cret"),
        ("200 OK", r#"{"keys":[]}"#),
        ("200 OK", &huge),
        ("500 Internal Server Error", ""),
        ("302 Found\r\nlocation: http://127.0.0.1:1/s3cret", ""),
    ] {
        let issuer = Issuer::start(status, body.to_owned()).await;
        let cause = issuer.source().fetch().await.unwrap_err().cause();
        assert!(!cause.contains("s3cret"), "{cause}");
    }
}

/// A server that publishes keys by TLS, once for each time that it is asked; and its authority, in a file.
async fn issuer_with_tls(keys: String) -> (String, tempfile::NamedTempFile) {
    let now = SystemTime::now();
    let valid = now - Duration::from_secs(60)..now + Duration::from_secs(3_600);
    let authority = LocalCa::try_new("issuers", &valid).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), authority.certificate()).unwrap();
    let issued = authority.issue(&[], &valid).unwrap();
    let certificate = CertificateDer::from_pem_slice(issued.cert.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(issued.key.expose_secret().as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let url = format!("https://127.0.0.1:{}/keys", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // Fails where the caller trusts somebody else.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 1_024]).await;
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{keys}", keys.len());
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (url, file)
}

#[tokio::test]
async fn keys_come_over_tls_from_whom_an_authority_vouches_for() {
    let (url, authority) = issuer_with_tls(jwks(&[&Signer::p256("a")])).await;
    let (_, other) = issuer_with_tls(String::new()).await;
    assert_eq!(Source::try_new(&url, Some(authority.path())).unwrap().fetch().await.unwrap().len(), 1);
    let refused = Source::try_new(&url, Some(other.path())).unwrap().fetch().await;
    assert!(matches!(refused, Err(FetchError::Io(_))), "{refused:?}");
    let of_another_name = url.replace("127.0.0.1", "127.0.0.2");
    let refused = Source::try_new(&of_another_name, Some(authority.path())).unwrap().fetch().await;
    assert!(matches!(refused, Err(FetchError::Io(_))), "{refused:?}");
    assert!(matches!(Source::try_new(&url, Some("/nothing".as_ref())), Err(SourceError::Roots { .. })));
    let empty = tempfile::NamedTempFile::new().unwrap();
    assert!(matches!(Source::try_new(&url, Some(empty.path())), Err(SourceError::NoRoots(_))));
}

#[tokio::test]
async fn keys_come_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let source = Source::try_new(path.to_str().unwrap(), None).unwrap();
    assert!(matches!(source.fetch().await, Err(FetchError::Io(_))));
    std::fs::write(&path, jwks(&[&Signer::p256("a")])).unwrap();
    assert_eq!(source.fetch().await.unwrap().len(), 1);
}

fn times(refresh_ms: u64, min_ms: u64, stale_ms: u64) -> Times {
    let [refresh_interval, refresh_interval_min, stale_max] = [refresh_ms, min_ms, stale_ms].map(Duration::from_millis);
    Times { refresh_interval, refresh_interval_min, stale_max }
}

const HOUR: u64 = 3_600_000;

#[tokio::test]
async fn calls_that_want_keys_at_the_same_time_cause_one_attempt() {
    let issuer = Issuer::start("200 OK", jwks(&[&Signer::p256("a")])).await;
    let ring = Keyring::new(issuer.source(), times(HOUR, 3_000_000, HOUR));
    let task = tokio::spawn({
        let ring = ring.clone();
        async move { ring.run().await }
    });
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let ring = ring.clone();
            tokio::spawn(async move { ring.attempted(0).await })
        })
        .collect();
    for waited in waiting {
        waited.await.unwrap();
    }
    assert!(ring.keys().is_ok());
    assert!(!ring.is_worth_waiting(), "the next attempt may not begin yet");
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 1);
    task.abort();
}

#[tokio::test]
async fn keys_that_are_too_old_are_none_and_new_ones_are_some_again() {
    let issuer = Issuer::start("200 OK", jwks(&[&Signer::p256("a")])).await;
    let good = issuer.answers.lock().unwrap().clone();
    let ring = Keyring::new(issuer.source(), times(20, 10, 100));
    assert_eq!(ring.keys().unwrap_err(), Unavailable);
    let run = async {
        ring.ready().await;
        "not json".clone_into(&mut issuer.answers.lock().unwrap());
        while ring.keys().is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        *issuer.answers.lock().unwrap() = good;
        while ring.keys().is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = ring.run() => {}
        () = run => {}
    }
}
