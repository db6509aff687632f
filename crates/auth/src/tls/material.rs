//! What the files have, as rustls takes it.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::Resumption;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::clients::{Allowed, Clients};
use super::files::{Files, Parsed, Problem, TlsError};
use super::identity::SpiffeId;
use super::verify::{Callers, Servers, identity_of};
use super::{ALPN_H2, Config, provider};

const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
/// ring has what both versions need.
const HAS_SUITES: &str = "the provider has suites for TLS 1.3 and 1.2";

/// What connections are made with, until the files change.
#[derive(Debug)]
pub(super) struct Material {
    /// What it was made of.
    pub(super) files: Files,
    /// How connections are taken, or why they cannot be.
    pub(super) server: Result<Arc<ServerConfig>, TlsError>,
    roots: Option<Arc<RootCertStore>>,
    own: Option<Arc<SingleCertAndKey>>,
    /// Of the process.
    pub(super) identity: Option<SpiffeId>,
    /// When its certificate ends to be valid, if it has one.
    pub(super) not_after: Option<SystemTime>,
}

impl Material {
    pub(super) fn try_new(config: &Config, files: Files, now: SystemTime) -> Result<Self, TlsError> {
        let parsed = files.parse(config, now)?;
        let own = parsed.own.as_ref().map(|own| Arc::new(SingleCertAndKey::from(Arc::clone(&own.certified))));
        let identity = parsed.own.as_ref().and_then(|own| identity_of(own.certified.cert.first()?));
        let server = server(config, &parsed, own.as_ref(), identity.as_ref());
        let not_after = parsed.own.map(|own| own.not_after);
        Ok(Self { files, server, roots: parsed.roots, own, identity, not_after })
    }

    /// How a connection is made to a peer with that identity, or to one that the certificate names.
    pub(super) fn client(&self, identity: Option<&SpiffeId>) -> Result<ClientConfig, TlsError> {
        let roots = self.roots.clone().ok_or_else(|| TlsError::one("tls.ca", None, Problem::NoCa))?;
        let verifier = Arc::new(Servers { roots, identity: identity.cloned() });
        let builder = ClientConfig::builder_with_provider(Arc::clone(provider()))
            .with_protocol_versions(VERSIONS)
            .expect(HAS_SUITES)
            // Dangerous since it is ours; it checks no less than the one of rustls.
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut client = match &self.own {
            Some(own) => builder.with_client_cert_resolver(Arc::clone(own) as _),
            None => builder.with_no_client_auth(),
        };
        client.alpn_protocols = vec![ALPN_H2.to_vec()];
        client.resumption = Resumption::disabled();
        Ok(client)
    }
}

fn server(
    config: &Config,
    parsed: &Parsed,
    own: Option<&Arc<SingleCertAndKey>>,
    identity: Option<&SpiffeId>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let own = own.ok_or_else(|| TlsError::one("tls.cert", None, Problem::NoCert))?;
    let allowed = match &config.clients {
        Clients::Anyone => None,
        Clients::Listed(list) => Some(list.clone()),
        Clients::OwnTrustDomain => {
            let id = identity.ok_or_else(|| TlsError::one("tls.clients", None, Problem::NoTrustDomain))?;
            Some(vec![Allowed::TrustDomain(id.trust_domain().to_owned())])
        }
    };
    let mut server = ServerConfig::builder_with_provider(Arc::clone(provider()))
        .with_protocol_versions(VERSIONS)
        .expect(HAS_SUITES)
        .with_client_cert_verifier(callers(parsed.roots.clone(), allowed)?)
        .with_cert_resolver(Arc::clone(own) as _);
    server.alpn_protocols = vec![ALPN_H2.to_vec()];
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    Ok(Arc::new(server))
}

fn callers(
    roots: Option<Arc<RootCertStore>>,
    allowed: Option<Vec<Allowed>>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let Some(roots) = roots else {
        let is_anyone = allowed.is_none();
        return if is_anyone {
            Ok(WebPkiClientVerifier::no_client_auth())
        } else {
            Err(TlsError::one("tls.ca", None, Problem::NoCallersCa))
        };
    };
    let chains = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider()));
    let chains = if allowed.is_none() { chains.allow_unauthenticated() } else { chains };
    let chains = chains.build().expect("there is an authority in the file, and no list of revocations");
    Ok(Arc::new(Callers { chains, allowed }))
}
