//! Where keys come from: a file, or an HTTP server.

use std::error::Error as StdError;
use std::fmt;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::{JWKS_BYTES_MAX, Keys, KeysError};

/// How long one attempt may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Where keys come from.
#[derive(Clone)]
pub struct Source(Kind);

#[derive(Clone)]
enum Kind {
    File(PathBuf),
    Url { uri: Uri, host: String, port: u16, tls: Option<(TlsConnector, ServerName<'static>)> },
}

/// Why a text is no source of keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Whoever is between could hand out keys of their own.
    #[error("a path, an https URL, or an http URL of this machine (127.0.0.1, [::1]) without user and fragment")]
    NotAllowed,
    /// The roots of trust cannot be read.
    #[error("the roots of trust cannot be read from {path}")]
    Roots {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// There are none.
    #[error("there are no roots of trust: {0} has no certificate")]
    NoRoots(String),
    /// rustls does not take its own defaults.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// Why keys could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The file cannot be read, or the server cannot be reached.
    #[error("input or output failed")]
    Io(#[from] std::io::Error),
    /// HTTP failed.
    #[error("HTTP failed")]
    Http(#[source] Box<dyn StdError + Send + Sync>),
    /// Redirects are not followed either.
    #[error("the server answers {0}")]
    Status(StatusCode),
    /// The answer is no set of keys.
    #[error("the answer is no set of keys")]
    Keys(#[from] KeysError),
    /// Five seconds have passed.
    #[error("there was no answer within 5s")]
    Timeout,
}

impl FetchError {
    /// The error with its causes, on one line. Nothing of what was read is in it.
    pub(super) fn cause(&self) -> String {
        let causes = std::iter::successors(Some(self as &dyn StdError), |error| (*error).source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }
}

impl Source {
    /// Reads a path or a URL. `roots` is a file of PEM with the authorities to trust for `https`, instead
    /// of those of the system.
    ///
    /// # Errors
    /// If keys from there could be anybody's, or `https` has no authority to trust.
    pub fn try_new(text: &str, roots: Option<&Path>) -> Result<Self, SourceError> {
        let Some((scheme, _)) = text.split_once("://") else {
            return if text.is_empty() { Err(SourceError::NotAllowed) } else { Ok(Self(Kind::File(text.into()))) };
        };
        let uri: Uri = text.parse().map_err(|_| SourceError::NotAllowed)?;
        let authority = uri.authority().ok_or(SourceError::NotAllowed)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_local = host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if authority.as_str().contains('@') || text.contains('#') {
            return Err(SourceError::NotAllowed);
        }
        let (port, tls) = match scheme {
            "https" => {
                let name = ServerName::try_from(host.clone()).map_err(|_| SourceError::NotAllowed)?;
                (443, Some((connector(roots)?, name)))
            }
            "http" if is_local => (80, None),
            _ => return Err(SourceError::NotAllowed),
        };
        let port = authority.port_u16().unwrap_or(port);
        Ok(Self(Kind::Url { uri, host, port, tls }))
    }

    /// Asks once.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn fetch(&self) -> Result<Keys, FetchError> {
        let json = tokio::time::timeout(FETCH_TIMEOUT, self.read()).await.map_err(|_| FetchError::Timeout)??;
        Ok(Keys::parse(&json)?)
    }

    async fn read(&self) -> Result<Bytes, FetchError> {
        match &self.0 {
            Kind::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || {
                    let mut json = Vec::new();
                    std::fs::File::open(path)?.take(JWKS_BYTES_MAX as u64 + 1).read_to_end(&mut json)?;
                    Ok::<_, std::io::Error>(json.into())
                });
                Ok(read.await.map_err(std::io::Error::other)??)
            }
            Kind::Url { uri, host, port, tls } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                match tls {
                    Some((connector, name)) => get(uri, connector.connect(name.clone(), stream).await?).await,
                    None => get(uri, stream).await,
                }
            }
        }
    }
}

/// One request on a connection of its own: it is made every few minutes.
async fn get<I: AsyncRead + AsyncWrite + Send + Unpin + 'static>(uri: &Uri, io: I) -> Result<Bytes, FetchError> {
    let http = |error: hyper::Error| FetchError::Http(error.into());
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(http)?;
    let _driver = AbortOnDropHandle::new(tokio::spawn(connection));
    let host = uri.authority().map_or("", http::uri::Authority::as_str);
    let request = Request::get(uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str))
        .header(header::HOST, host)
        .header(header::ACCEPT, "application/jwk-set+json, application/json")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| FetchError::Http(error.into()))?;
    let answer = sender.send_request(request).await.map_err(http)?;
    if answer.status() != StatusCode::OK {
        return Err(FetchError::Status(answer.status()));
    }
    let body = Limited::new(answer.into_body(), JWKS_BYTES_MAX).collect().await.map_err(FetchError::Http)?;
    Ok(body.to_bytes())
}

fn connector(roots: Option<&Path>) -> Result<TlsConnector, SourceError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(authorities(roots)?)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Those in the file, or those of the system. What cannot be read among the latter is left out.
fn authorities(path: Option<&Path>) -> Result<RootCertStore, SourceError> {
    let mut store = RootCertStore::empty();
    let origin = match path {
        Some(path) => {
            let name = path.display().to_string();
            let failed = |source| SourceError::Roots { path: name.clone(), source };
            let file = std::fs::File::open(path).map_err(failed)?;
            use rustls::pki_types::CertificateDer;
            use rustls::pki_types::pem::PemObject as _;
            let certificates = CertificateDer::pem_reader_iter(BufReader::new(file)).collect::<Result<Vec<_>, _>>();
            let certificates = certificates.map_err(|error| failed(std::io::Error::other(error)))?;
            store.add_parsable_certificates(certificates);
            name
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            "the system".to_owned()
        }
    };
    if store.is_empty() { Err(SourceError::NoRoots(origin)) } else { Ok(store) }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::File(path) => path.display().fmt(f),
            // A query may have a secret in it.
            Kind::Url { uri, .. } => {
                let authority = uri.authority().map_or("", http::uri::Authority::as_str);
                write!(f, "{}://{authority}{}", uri.scheme_str().unwrap_or_default(), uri.path())
            }
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({self})")
    }
}
