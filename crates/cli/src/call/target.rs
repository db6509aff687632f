//! Who is called: a service that runs here, by its name, or an address.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hyper_util::rt::TokioIo;
use seawall_auth::tls::{Clients, Config, Connector};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use super::nearest::did_you_mean;
use crate::lock;
use crate::state::{Snapshot, State};
use crate::tls::Tls;
use crate::workspace::Workspace;

/// Whoever takes longer to take a connection is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Of no use in a program that ends before.
const RELOAD_INTERVAL: Duration = Duration::from_secs(3_600);

/// Where systems keep the authorities that they trust: Debian, Fedora, macOS.
const SYSTEM_CAS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// The files of a call by TLS to a server that `up` has not started.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct TlsFiles {
    /// Trust these authorities rather than those of this machine; a PEM file, for https://
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Prove who you are by this certificate, a PEM file
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The private key of the certificate
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

impl TlsFiles {
    fn is_named(&self) -> bool {
        self.ca.is_some() || self.cert.is_some()
    }
}

/// Where it is, and how it is spoken to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    host: String,
    port: u16,
    tls: Option<Connector>,
    /// Whether `up` runs it, so that its traces are here.
    pub(crate) is_ours: bool,
}

impl Target {
    /// What `text` names.
    ///
    /// # Errors
    /// If no service of that name runs, or the address is none, with what to write instead.
    pub(crate) fn resolve(text: &str, files: &TlsFiles) -> Result<Self> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => (Some(scheme), rest.trim_end_matches('/')),
            Some((scheme, _)) => bail!("{scheme}:// is not spoken here; write host:port, http://… or https://…"),
            None => (None, text),
        };
        let is_address = scheme.is_some() || rest.contains(':');
        let workspace = match Workspace::find() {
            Ok(workspace) => workspace,
            Err(_) if is_address => return Self::elsewhere(scheme, rest, files),
            Err(error) => return Err(error.context(format!("{text} is no host:port, and no service can be looked up"))),
        };
        let layout = workspace.layout();
        let state = if lock::is_held(&layout.lock())? { State::read(&layout.state())? } else { None };
        let running = state.map(|state| state.snapshot);
        let named = |snapshot: &Snapshot| {
            let service = snapshot.services.iter().find(|service| service.name == rest || service.address == rest);
            service.cloned()
        };
        match (running, is_address) {
            (Some(snapshot), _) if named(&snapshot).is_some() => {
                let service = named(&snapshot).context("the service has just been there")?;
                let tls = snapshot.tls.as_ref().map(|_| layout.tls());
                match (scheme, &tls) {
                    (Some("https"), None) => bail!("{rest} speaks no TLS; run it with: cargo seawall up --tls"),
                    (Some("http"), Some(_)) => bail!("{rest} speaks nothing but TLS; write {}", service.name),
                    _ if files.is_named() => {
                        let scheme = tls.is_some().then_some("https").or(Some("http"));
                        Ok(Self { is_ours: true, ..Self::elsewhere(scheme, &service.address, files)? })
                    }
                    _ => Self::ours(&service.name, &service.address, tls.as_ref()),
                }
            }
            (_, true) => Self::elsewhere(scheme, rest, files),
            (running, false) => Err(not_running(text, &workspace, running.as_ref())),
        }
    }

    fn ours(name: &str, address: &str, tls: Option<&Tls>) -> Result<Self> {
        let (host, port) = split(address, None)?;
        Ok(Self { host, port, tls: tls.map(|tls| tls.connector(name)).transpose()?, is_ours: true })
    }

    fn elsewhere(scheme: Option<&str>, authority: &str, files: &TlsFiles) -> Result<Self> {
        let (host, port) = split(authority, scheme)?;
        let is_named = files.is_named();
        let TlsFiles { ca, cert, key } = files.clone();
        let ca = ca.or_else(|| SYSTEM_CAS.iter().map(PathBuf::from).find(|file| file.is_file()));
        if scheme == Some("http") && is_named {
            bail!("--ca, --cert and --key are for TLS; write https://{authority}");
        }
        let tls = (is_named || scheme == Some("https")).then(|| {
            let config = Config { cert, key, ca, clients: Clients::default(), reload_interval: RELOAD_INTERVAL };
            Connector::try_new(&config, None)
        });
        let tls = tls.transpose().context("name the files with --ca, --cert and --key")?;
        Ok(Self { host, port, tls, is_ours: false })
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// A new connection, which is made again when it is lost.
    ///
    /// # Errors
    /// If nobody is there, or it is not to be trusted.
    pub(crate) async fn connect(&self) -> Result<Channel> {
        let (address, scheme) = (self.address(), if self.tls.is_some() { "https" } else { "http" });
        let endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))
            .with_context(|| format!("{address} is no address; write host:port"))?;
        let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT);
        let connected = match self.tls.clone() {
            None => endpoint.connect().await,
            Some(tls) => {
                let (host, address) = (self.host.clone(), address.clone());
                let connector = service_fn(move |_: Uri| {
                    let (tls, host, address) = (tls.clone(), host.clone(), address.clone());
                    async move {
                        let io = TcpStream::connect(address).await?;
                        Ok::<_, std::io::Error>(TokioIo::new(tls.connect(io, &host).await?))
                    }
                });
                endpoint.connect_with_connector(connector).await
            }
        };
        connected.map_err(|error| self.refused(&error))
    }

    fn refused(&self, error: &tonic::transport::Error) -> anyhow::Error {
        let hint =
            if self.is_ours { "see how it is with: cargo seawall ps" } else { "is it there, and is that its port?" };
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        anyhow::anyhow!("no connection to {}: {cause}; {hint}", self.address())
    }
}

/// Host and port; a URL may leave the port out.
fn split(authority: &str, scheme: Option<&str>) -> Result<(String, u16)> {
    let given = match authority.rsplit_once(':') {
        // What is in brackets is an IPv6 address without a port.
        Some((host, port)) if !port.ends_with(']') => Some((host, port)),
        _ => None,
    };
    let (host, port) = match (given, scheme) {
        (Some((host, port)), _) => (host, port.parse().ok()),
        (None, Some("https")) => (authority, Some(443)),
        (None, Some(_)) => (authority, Some(80)),
        (None, None) => (authority, None),
    };
    let is_host = !host.is_empty() && !host.contains(['/', '@', ' ', '?', '#']);
    match port {
        Some(port) if is_host => Ok((host.to_owned(), port)),
        _ => bail!("{authority:?} is no address; write host:port, such as 127.0.0.1:50051"),
    }
}

/// The complaint about a name that does not lead anywhere.
fn not_running(name: &str, workspace: &Workspace, running: Option<&Snapshot>) -> anyhow::Error {
    let known: Vec<&str> = workspace.services.iter().map(|service| service.name.as_str()).collect();
    if known.contains(&name) {
        return anyhow::anyhow!("{name} does not run here; start it with: cargo seawall up --detach {name}");
    }
    let hint = did_you_mean(name, known.iter().copied());
    let running: Vec<&str> = running.iter().flat_map(|it| &it.services).map(|service| service.name.as_str()).collect();
    let there = match (&known[..], &running[..]) {
        ([], _) => "this workspace has no services".to_owned(),
        (_, []) => format!("services: {}, none of which runs", known.join(", ")),
        _ => format!("running: {}", running.join(", ")),
    };
    anyhow::anyhow!("{name:?} is no service{hint}; {there}; or give host:port")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port_and_a_url_may_leave_the_port_out() {
        let of = |authority, scheme| split(authority, scheme).ok();
        assert_eq!(of("127.0.0.1:50051", None), Some(("127.0.0.1".into(), 50051)));
        assert_eq!(of("shop.example", Some("https")), Some(("shop.example".into(), 443)));
        assert_eq!(of("[::1]:50051", None), Some(("[::1]".into(), 50051)));
        assert_eq!(of("[::1]", Some("http")), Some(("[::1]".into(), 80)));
        for wrong in ["order:grpc", ":50051", "a/b:1", "me@host:1", "order"] {
            assert!(split(wrong, None).unwrap_err().to_string().contains("write host:port"), "{wrong}");
        }
    }

    #[test]
    fn files_of_tls_are_not_for_plaintext() {
        let files = TlsFiles { ca: Some("/ca.pem".into()), ..TlsFiles::default() };
        let said = Target::elsewhere(Some("http"), "a:1", &files).unwrap_err().to_string();
        assert!(said.contains("write https://a:1"), "{said}");
    }
}
