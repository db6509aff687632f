//! TLS to PostgreSQL, asked for in the URL by the names that libpq has: `sslmode` and `sslrootcert`.
//!
//! A server is checked, or there is no TLS. `require` and `verify-ca`, with which libpq checks less, mean
//! `verify-full`; `prefer` and `allow`, with which nobody knows what a connection is, are refused.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::Error;

/// Whom a server's certificate must be from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Authorities {
    /// Those that the system trusts.
    System,
    /// Those in a PEM file.
    File(PathBuf),
}

/// Whether a URL says something of TLS.
pub(crate) fn is_said(url: &str) -> bool {
    parameters(url).any(|(name, _)| name == "sslmode" || name == "sslrootcert")
}

/// The URL without what it says of TLS, some of which the driver does not know; and that.
///
/// # Errors
/// If it asks for something else than TLS with a check, or none.
pub(crate) fn of_url(url: &str) -> Result<(String, Option<Authorities>), Error> {
    let (mut mode, mut file, mut others) = (None, None, String::new());
    for (name, value) in parameters(url) {
        match name {
            "sslmode" => mode = Some(value),
            "sslrootcert" => file = Some(value),
            _ => {
                others.push(if others.is_empty() { '?' } else { '&' });
                others.push_str(&format!("{name}={value}"));
            }
        }
    }
    let is_wanted = match mode {
        Some("verify-full" | "verify-ca" | "require") => true,
        Some("disable") if file.is_some() => {
            return Err(Error::settings("sql.url: sslrootcert is of no use with sslmode=disable; leave one away"));
        }
        Some("disable") => false,
        Some(_) => {
            return Err(Error::settings(
                "sql.url: sslmode must be verify-full or disable (require and verify-ca are taken for verify-full; \
                 with prefer or allow nobody would know whether there is TLS)",
            ));
        }
        None => file.is_some(),
    };
    let authorities = match file {
        Some("system") | None => Authorities::System,
        Some(path) => Authorities::File(percent_decode_str(path).decode_utf8_lossy().into_owned().into()),
    };
    let base = url.split_once('?').map_or(url, |(base, _)| base);
    Ok((format!("{base}{others}"), is_wanted.then_some(authorities)))
}

fn parameters(url: &str) -> impl Iterator<Item = (&str, &str)> {
    let query = url.split_once('?').map(|(_, query)| query);
    query
        .into_iter()
        .flat_map(|query| query.split('&'))
        .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
}

/// Shakes hands with servers that have a certificate of these authorities, which is for the host of the URL;
/// without authorities with nobody. Reads files.
///
/// # Errors
/// If there is none.
pub(crate) fn connector(authorities: Option<&Authorities>) -> Result<MakeRustlsConnect, Error> {
    let roots = match authorities {
        None => RootCertStore::empty(),
        Some(Authorities::System) => of_system()?,
        Some(Authorities::File(path)) => of_file(path)?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has suites for TLS 1.3 and 1.2")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn of_system() -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(Error::settings(
            "sql.url asks for TLS, and this system has no certificates of authorities; name a PEM file with \
             sslrootcert=/path/ca.pem",
        ));
    }
    Ok(roots)
}

fn of_file(path: &Path) -> Result<RootCertStore, Error> {
    let wrong = |what: &str| Error::settings(format!("sql.url: sslrootcert {} {what}", path.display()));
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates = certificates.map_err(|error| wrong("cannot be read").with_source(error))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|error| wrong("has a certificate that is not understood").with_source(error))?;
    }
    if roots.is_empty() { Err(wrong("has no certificate in it")) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_url_says_of_tls_is_taken_out_of_it() {
        let file = |path: &str| Some(Authorities::File(path.into()));
        for (url, rest, asked) in [
            ("postgres://h/shop", "postgres://h/shop", None),
            ("postgres://h/shop?sslmode=disable", "postgres://h/shop", None),
            ("postgres://h/shop?sslmode=verify-full", "postgres://h/shop", Some(Authorities::System)),
            ("postgres://h/shop?sslmode=require", "postgres://h/shop", Some(Authorities::System)),
            ("postgres://h/shop?sslrootcert=system", "postgres://h/shop", Some(Authorities::System)),
            (
                "postgres://h/shop?connect_timeout=3&sslmode=verify-full&sslrootcert=/etc/ca.pem&options=-c%20x%3D1",
                "postgres://h/shop?connect_timeout=3&options=-c%20x%3D1",
                file("/etc/ca.pem"),
            ),
            ("postgres://h/shop?sslrootcert=%2Fetc%2Fmy%20ca.pem", "postgres://h/shop", file("/etc/my ca.pem")),
        ] {
            assert_eq!(of_url(url).unwrap(), (rest.to_owned(), asked), "{url}");
        }
        for url in
            ["postgres://h/?sslmode=prefer", "postgres://h/?sslmode=", "postgres://h/?sslmode=disable&sslrootcert=/a"]
        {
            assert!(of_url(url).unwrap_err().to_string().contains("ssl"), "{url}");
        }
    }

    #[test]
    fn a_file_without_an_authority_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (empty, broken) = (folder.path().join("empty.pem"), folder.path().join("broken.pem"));
        std::fs::write(&empty, "").unwrap();
        std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        for (path, what) in [
            (folder.path().join("missing.pem"), "cannot be read"),
            (empty, "has no certificate in it"),
            (broken, "is not understood"),
        ] {
            let error = connector(Some(&Authorities::File(path.clone()))).err().unwrap().to_string();
            assert!(error.contains(what) && error.contains(path.to_str().unwrap()), "{error}");
        }
    }
}
