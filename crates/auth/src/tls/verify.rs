//! How the certificate of the other end is checked: signed by an authority that is trusted, valid now, and
//! of an identity that is allowed.

use std::fmt;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore};

use super::clients::Allowed;
use super::identity::SpiffeId;
use super::provider;

/// The one SPIFFE ID of a certificate: one with several URIs is of nobody, as the standard has it.
pub(super) fn identity_of(certificate: &CertificateDer<'_>) -> Option<SpiffeId> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    let mut uris = certificate.valid_uri_names();
    let only = uris.next()?;
    if uris.next().is_some() { None } else { only.parse().ok() }
}

/// Whose certificate is good, and who is not who must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WrongIdentity {
    /// `None` for a certificate without one.
    found: Option<SpiffeId>,
}

impl fmt::Display for WrongIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            Some(id) => write!(f, "{id} is not allowed"),
            None => f.write_str("the certificate has no SPIFFE ID, or several"),
        }
    }
}

impl std::error::Error for WrongIdentity {}

/// Fails the handshake unless the identity in the certificate is allowed.
fn check_identity(certificate: &CertificateDer<'_>, is_allowed: impl FnOnce(&SpiffeId) -> bool) -> Result<(), Error> {
    let found = identity_of(certificate);
    if found.as_ref().is_some_and(is_allowed) {
        return Ok(());
    }
    let wrong = OtherError(Arc::new(WrongIdentity { found }));
    Err(Error::InvalidCertificate(CertificateError::Other(wrong)))
}

/// Checks servers.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) roots: Arc<RootCertStore>,
    /// Who it must be; `None` lets the name decide by which it was called.
    pub(super) identity: Option<SpiffeId>,
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = provider().signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        match &self.identity {
            Some(identity) => check_identity(end_entity, |found| found == identity)?,
            None => verify_server_name(&certificate, server_name)?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Checks the callers of a server.
#[derive(Debug)]
pub(super) struct Callers {
    /// Checks everything but the identity.
    pub(super) chains: Arc<dyn ClientCertVerifier>,
    /// `None` for anyone.
    pub(super) allowed: Option<Vec<Allowed>>,
}

impl ClientCertVerifier for Callers {
    fn offer_client_auth(&self) -> bool {
        self.chains.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.chains.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chains.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chains.verify_client_cert(end_entity, intermediates, now)?;
        if let Some(allowed) = &self.allowed {
            check_identity(end_entity, |found| allowed.iter().any(|entry| entry.includes(found)))?;
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}
