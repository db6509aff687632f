//! Files that cannot be used are refused at the start, with what is wrong with which of them.

use std::ops::Range;
use std::time::SystemTime;

use seawall_auth::tls::{Acceptor, Connector, check};
use seawall_config::ExposeSecret as _;

use crate::mesh::{Mesh, authority, future, id, past, valid};

/// What is said of a server with a good certificate, once one file has this text.
fn said_of(file: &str, text: &str) -> String {
    let mesh = Mesh::good();
    mesh.write(file, text);
    check(&mesh.config("user", "ca.pem", &[]), true).unwrap_err().to_string()
}

fn cert(valid: &Range<SystemTime>) -> String {
    authority().issue(&[id("user")], valid).unwrap().cert
}

#[test]
fn each_file_is_told_with_what_is_wrong_with_it() {
    let key = authority().issue(&[id("user")], &valid()).unwrap().key.expose_secret().to_owned();
    let half = key.lines().next().unwrap().to_owned();
    for (file, text, setting, problem) in [
        ("user.pem", String::new(), "tls.cert", "has no certificate; a PEM file with -----BEGIN CERTIFICATE-----"),
        ("user.pem", key.clone(), "tls.cert", "has no certificate"),
        ("user.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n".into(), "tls.cert", "is not PEM"),
        (
            "user.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into(),
            "tls.cert",
            "has a certificate that cannot be read as X.509",
        ),
        ("user.pem", cert(&past()), "tls.cert", "has expired at 20"),
        ("user.pem", cert(&future()), "tls.cert", "is not valid before 20"),
        ("user.pem", authority().certificate(), "tls.cert", "is the certificate of an authority"),
        ("user.pem", cert(&valid()), "tls.key", "is not the key of the certificate in "),
        ("user.key", String::new(), "tls.key", "has no private key"),
        ("user.key", half, "tls.key", "is not PEM"),
        ("user.key", key, "tls.key", "is not the key of the certificate in "),
        ("ca.pem", "nothing".into(), "tls.ca", "has no certificate"),
    ] {
        let said = said_of(file, &text);
        assert!(said.contains(&format!("{setting} = \"")) && said.contains(problem), "{problem}: {said}");
    }
}

/// What stands in the file of a key is told to nobody, also where it cannot be read.
#[test]
fn a_key_is_never_quoted() {
    for text in ["-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n", "-----BEGIN secret"] {
        let said = said_of("user.key", text);
        assert!(!said.contains("secret"), "{said}");
    }
    let mesh = Mesh::good();
    let key = std::fs::read_to_string(mesh.path("user.key")).unwrap();
    let line = key.lines().nth(1).unwrap();
    let shown = format!("{:?}", Acceptor::try_new(&mesh.config("user", "ca.pem", &[])).unwrap());
    assert!(!shown.contains(line), "{shown}");
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let mesh = Mesh::new();
    mesh.write("ca.pem", "");
    let said = check(&mesh.config("absent", "ca.pem", &[]), true).unwrap_err().to_string();
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert_eq!(lines[0], "TLS cannot be used:");
    assert!(lines[1].contains("absent.pem\": cannot be read: No such file"), "{said}");
    assert!(lines[2].contains("absent.key\": cannot be read: No such file"), "{said}");
}

#[test]
fn a_trust_domain_is_not_guessed() {
    let mesh = Mesh::good();
    mesh.issue("nobody", &mesh.ca, &[], &valid());
    let config = mesh.config("nobody", "ca.pem", &[]);
    let said = check(&config, true).unwrap_err().to_string();
    assert!(said.contains("tls.clients: must be set: the certificate of this process has no SPIFFE ID"), "{said}");
    assert_eq!(check(&config, false), Ok(()), "nobody is served");
    assert!(Connector::try_new(&config, None).is_ok());
}

/// A server must not be what a process becomes by leaving a setting out.
#[test]
fn each_side_needs_its_files() {
    let mesh = Mesh::good();
    let said = Acceptor::try_new(&mesh.config("", "ca.pem", &[])).unwrap_err().to_string();
    assert!(said.contains("tls.cert: must be set, since the server speaks TLS"), "{said}");
    let anyone = mesh.config("user", "", &[("SEAWALL_TLS_CLIENTS", "anyone")]);
    assert!(Acceptor::try_new(&anyone).is_ok());
    let said = Connector::try_new(&anyone, Some(id("user"))).unwrap_err().to_string();
    assert!(said.contains("tls.ca: must be set, since the address of a peer begins with https://"), "{said}");
}
