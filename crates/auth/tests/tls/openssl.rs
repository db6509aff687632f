//! What a client says that nobody here wrote: `openssl s_client`.

use std::process::Stdio;

use seawall_auth::tls::{Config, Reason};
use tokio::process::Command;

use crate::mesh::{Mesh, Server, Taken, authority, future, id, past, valid};

/// Whether to leave these out, as `cargo seawall test` asks for where openssl cannot be had.
fn is_left_out() -> bool {
    let is_left_out = std::env::var("TEST_SKIP_OPENSSL").is_ok_and(|skip| skip == "1");
    if is_left_out {
        println!("skipped: openssl is to be left out");
    }
    is_left_out
}

/// What comes of `openssl s_client` with these words: what the server says of the handshake, and what openssl
/// says. `{}` is the folder of the files.
async fn s_client(mesh: &Mesh, config: &Config, words: &str) -> (Taken, String) {
    let mut server = Server::start(config).await;
    let mut command = Command::new("openssl");
    command.args(["s_client", "-verify_return_error", "-connect", &server.address.to_string()]);
    command.args(words.replace("{}", &mesh.path("").display().to_string()).split_whitespace());
    // The end of its input ends it.
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = child.spawn().expect("openssl is not on PATH; `cargo seawall test` gets it");
    let taken = server.taken().await;
    let output = child.wait_with_output().await.unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    (taken, said)
}

const GOOD: &str = "-alpn h2 -CAfile {}ca.pem -cert {}order.pem -key {}order.key";

#[tokio::test]
async fn openssl_agrees_upon_both_versions_and_h2() {
    if is_left_out() {
        return;
    }
    let mesh = Mesh::good();
    let config = mesh.config("user", "ca.pem", &[]);
    for (version, name) in [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")] {
        let (taken, said) = s_client(&mesh, &config, &format!("{version} {GOOD}")).await;
        assert_eq!(taken, Ok(Some("spiffe://shop/order".into())), "{said}");
        for expected in [name, "ALPN protocol: h2", "Verify return code: 0 (ok)"] {
            assert!(said.contains(expected), "{expected} is not in:\n{said}");
        }
    }
}

/// A session that is resumed would skip the check of a certificate that is no longer good.
#[tokio::test]
async fn openssl_cannot_resume_a_session() {
    if is_left_out() {
        return;
    }
    let mesh = Mesh::good();
    let config = mesh.config("user", "ca.pem", &[]);
    for version in ["-tls1_2", "-tls1_3"] {
        let (taken, said) = s_client(&mesh, &config, &format!("{version} -reconnect {GOOD}")).await;
        assert!(taken.is_ok(), "{said}");
        assert!(said.matches("New, TLSv1").count() == 6 && !said.contains("Reused"), "{said}");
    }
}

#[tokio::test]
async fn openssl_is_refused_for_what_is_not_good() {
    if is_left_out() {
        return;
    }
    let mesh = Mesh::good();
    let order = [id("order")];
    mesh.issue("foreign", &authority(), &order, &valid());
    mesh.issue("expired", &mesh.ca, &order, &past());
    mesh.issue("early", &mesh.ca, &order, &future());
    mesh.issue("stranger", &mesh.ca, &["spiffe://elsewhere/order".parse().unwrap()], &valid());
    mesh.write("other.pem", &authority().certificate());
    let good = |name: &str| GOOD.replace("order", name);
    let anonymous = "-CAfile {}ca.pem -alpn h2".to_owned();
    let cases = [
        ("no certificate", anonymous, Reason::NoCertificate, "alert"),
        ("another authority", good("foreign"), Reason::UnknownAuthority, "alert"),
        ("expired", good("expired"), Reason::Expired, "alert certificate expired"),
        ("not yet valid", good("early"), Reason::NotYetValid, "alert certificate expired"),
        ("another identity", good("stranger"), Reason::Identity, "alert certificate unknown"),
        ("another protocol", GOOD.replace("-alpn h2", "-alpn http/1.1"), Reason::NoH2, "alert no application protocol"),
        ("no ALPN", GOOD.replace("-alpn h2", ""), Reason::NoH2, ""),
        ("TLS 1.1", format!("-tls1_1 -cipher DEFAULT@SECLEVEL=0 {GOOD}"), Reason::Version, "alert handshake failure"),
        ("a server of another authority", GOOD.replace("ca.pem", "other.pem"), Reason::Refused, "verify error"),
    ];
    let config = mesh.config("user", "ca.pem", &[]);
    for (case, words, reason, expected) in cases {
        for version in ["-tls1_3", "-tls1_2"] {
            let words = if words.contains("-tls1_") { words.clone() } else { format!("{version} {words}") };
            let (taken, said) = s_client(&mesh, &config, &words).await;
            assert_eq!(taken, Err(reason), "{case}, {words}:\n{said}");
            // In TLS 1.3, openssl may have left before it reads why.
            assert!(version == "-tls1_3" || said.contains(expected), "{case}: {expected} is not in:\n{said}");
        }
    }
}
