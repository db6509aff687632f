//! The files: read, and refused with what is wrong before anything relies on them.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::RootCertStore;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use seawall_config::{ExposeSecret as _, SecretString};
use webpki::{EndEntityCert, KeyUsage};

use super::Config;
use super::provider;

/// The most that is read of a file: a bundle of all public authorities has a quarter of it.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The text of the files of a [`Config`].
#[derive(Debug, Clone, Default)]
pub(super) struct Files {
    cert: Option<String>,
    key: Option<SecretString>,
    ca: Option<String>,
}

/// Two are equal if they say the same.
impl PartialEq for Files {
    fn eq(&self, other: &Self) -> bool {
        let key = |files: &Self| files.key.as_ref().map(|key| key.expose_secret().to_owned());
        self.cert == other.cert && self.ca == other.ca && key(self) == key(other)
    }
}

/// What the files have.
#[derive(Debug)]
pub(super) struct Parsed {
    /// The certificate and its key.
    pub(super) own: Option<Own>,
    pub(super) roots: Option<Arc<RootCertStore>>,
}

/// What a process proves its identity with.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) not_after: SystemTime,
}

impl Files {
    /// Reads them. Blocks.
    pub(super) fn read(config: &Config) -> Result<Self, TlsError> {
        let mut mistakes = Vec::new();
        let mut read = |setting, path: &Option<PathBuf>| {
            path.as_ref().and_then(|path| read(setting, path).map_err(|mistake| mistakes.push(mistake)).ok())
        };
        let files = Self {
            cert: read("tls.cert", &config.cert),
            key: read("tls.key", &config.key).map(SecretString::from),
            ca: read("tls.ca", &config.ca),
        };
        if mistakes.is_empty() { Ok(files) } else { Err(TlsError(mistakes)) }
    }

    /// What they have, if it can be used at `now`.
    pub(super) fn parse(&self, config: &Config, now: SystemTime) -> Result<Parsed, TlsError> {
        let own = self.own(config, now);
        let roots = match (&self.ca, &config.ca) {
            (Some(text), Some(path)) => roots(text, path).map(|roots| Some(Arc::new(roots))),
            _ => Ok(None),
        };
        match (own, roots) {
            (Ok(own), Ok(roots)) => Ok(Parsed { own, roots }),
            (own, roots) => Err(TlsError(own.err().into_iter().chain(roots.err()).collect())),
        }
    }

    fn own(&self, config: &Config, now: SystemTime) -> Result<Option<Own>, Mistake> {
        let (Some(cert), Some(cert_path)) = (&self.cert, &config.cert) else { return Ok(None) };
        let (Some(key), Some(key_path)) = (&self.key, &config.key) else {
            return Err(Mistake { setting: "tls.key", path: PathBuf::new(), problem: Problem::NoKeyFile });
        };
        let in_cert = |problem| Mistake { setting: "tls.cert", path: cert_path.clone(), problem };
        let in_key = |problem| Mistake { setting: "tls.key", path: key_path.clone(), problem };
        let chain = certificates(cert).map_err(in_cert)?;
        let not_after = validity(&chain[0], now).map_err(in_cert)?;
        let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes()).map_err(|error| match error {
            PemError::NoItemsFound => in_key(Problem::NoKey),
            // What the parser says quotes the line, which may be a part of the key.
            _ => in_key(Problem::NotPem),
        })?;
        let key = provider().key_provider.load_private_key(key).map_err(|_| in_key(Problem::UnusableKey))?;
        let certified = CertifiedKey::new(chain, key);
        certified.keys_match().map_err(|_| in_key(Problem::KeyMismatch(cert_path.clone())))?;
        Ok(Some(Own { certified: Arc::new(certified), not_after }))
    }
}

fn read(setting: &'static str, path: &Path) -> Result<String, Mistake> {
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
    let problem = match read {
        Ok(bytes) if bytes as u64 > FILE_BYTES_MAX => Problem::TooLarge,
        Ok(_) => return Ok(text),
        // Neither is the text of a certificate.
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Problem::NotPem,
        Err(error) => Problem::Unreadable(error.to_string()),
    };
    Err(Mistake { setting, path: path.to_owned(), problem })
}

/// The certificates in a file, at least one.
fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let found = found.map_err(|_| Problem::NotPem)?;
    if found.is_empty() { Err(Problem::NoCertificate) } else { Ok(found) }
}

fn roots(text: &str, path: &Path) -> Result<RootCertStore, Mistake> {
    let mistake = |problem| Mistake { setting: "tls.ca", path: path.to_owned(), problem };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(text).map_err(mistake)? {
        roots.add(certificate).map_err(|_| mistake(Problem::Malformed))?;
    }
    Ok(roots)
}

/// When the certificate ends to be valid, if it is at `now`.
///
/// webpki tells the times of a certificate only by refusing it for them. It looks at them first; that no
/// authority is trusted here comes after.
fn validity(certificate: &CertificateDer<'_>, now: SystemTime) -> Result<SystemTime, Problem> {
    let certificate = EndEntityCert::try_from(certificate).map_err(|_| Problem::Malformed)?;
    let refused_at = |time: UnixTime| {
        let algorithms = provider().signature_verification_algorithms.all;
        certificate.verify_for_usage(algorithms, &[], &[], time, KeyUsage::server_auth(), None, None).err()
    };
    let since_epoch = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let point = |time: UnixTime| UNIX_EPOCH + Duration::from_secs(time.as_secs());
    match refused_at(UnixTime::since_unix_epoch(since_epoch(now))) {
        Some(webpki::Error::CertExpired { not_after, .. }) => return Err(Problem::Expired(point(not_after))),
        Some(webpki::Error::CertNotValidYet { not_before, .. }) => return Err(Problem::NotYetValid(point(not_before))),
        Some(webpki::Error::CaUsedAsEndEntity) => return Err(Problem::Authority),
        _ => {}
    }
    // The last second that a certificate can name is that of the year 9999.
    let last = Duration::from_secs(253_402_300_800);
    match refused_at(UnixTime::since_unix_epoch(last)) {
        Some(webpki::Error::CertExpired { not_after, .. }) => Ok(point(not_after)),
        _ => Ok(UNIX_EPOCH + last),
    }
}

/// Why the files of a process cannot be used, with all that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct TlsError(Vec<Mistake>);

impl TlsError {
    pub(super) fn one(setting: &'static str, path: Option<&Path>, problem: Problem) -> Self {
        Self(vec![Mistake { setting, path: path.unwrap_or(Path::new("")).to_owned(), problem }])
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [only] => write!(f, "TLS cannot be used: {only}"),
            all => {
                f.write_str("TLS cannot be used:")?;
                all.iter().try_for_each(|mistake| write!(f, "\n  - {mistake}"))
            }
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mistake {
    setting: &'static str,
    path: PathBuf,
    problem: Problem,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, path, problem } = self;
        if path.as_os_str().is_empty() {
            return write!(f, "{setting}: {problem}");
        }
        write!(f, "{setting} = {:?}: {problem}", path.display().to_string())
    }
}

/// What is wrong with a file, without anything that stands in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error("cannot be read: {0}")]
    Unreadable(String),
    #[error("is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge,
    #[error("is not PEM")]
    NotPem,
    #[error("has no certificate; a PEM file with -----BEGIN CERTIFICATE----- is wanted")]
    NoCertificate,
    #[error("has no private key; a PEM file with -----BEGIN PRIVATE KEY----- is wanted")]
    NoKey,
    #[error("has a certificate that cannot be read as X.509, version 3")]
    Malformed,
    #[error("is the certificate of an authority, with which no process can prove its identity")]
    Authority,
    #[error("has expired at {}", at(.0))]
    Expired(SystemTime),
    #[error("is not valid before {}", at(.0))]
    NotYetValid(SystemTime),
    #[error("has a key of a kind that cannot be used; ECDSA P-256 or P-384, Ed25519 or RSA from 2048 bits can")]
    UnusableKey,
    #[error("is not the key of the certificate in {:?}", .0.display().to_string())]
    KeyMismatch(PathBuf),
    #[error("must be set, since tls.cert is")]
    NoKeyFile,
    #[error("must be set, since the server speaks TLS")]
    NoCert,
    #[error("must be set, since the address of a peer begins with https://")]
    NoCa,
    #[error("must be set, since callers are checked by it; or tls.clients must be anyone")]
    NoCallersCa,
    #[error("must be set: the certificate of this process has no SPIFFE ID, whose trust domain it would be")]
    NoTrustDomain,
}

/// A point in time, in words.
fn at(time: &SystemTime) -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_seconds(*time)
}
