//! A certificate authority for development and tests, in memory.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use seawall_config::SecretString;

use super::identity::SpiffeId;

/// An authority whose key is never written anywhere: it ends with the process.
#[derive(Debug)]
pub struct LocalCa {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate.
    pub cert: String,
    /// The key.
    pub key: SecretString,
}

/// Why there is no authority, or no certificate.
#[derive(Debug, thiserror::Error)]
#[error("the certificate cannot be made")]
pub struct LocalCaError(#[from] rcgen::Error);

impl LocalCa {
    /// A new authority, of this name, for the time.
    ///
    /// # Errors
    /// If the name cannot stand in a certificate, or there is no randomness.
    pub fn try_new(name: &str, valid: &Range<SystemTime>) -> Result<Self, LocalCaError> {
        let mut params = params(name, valid);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// Its own certificate, as PEM.
    pub fn certificate(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for a service on this machine: of these identities, of which there should be one, and
    /// under the names `localhost`, 127.0.0.1 and ::1. For servers and clients.
    ///
    /// # Errors
    /// If the identity cannot stand in a certificate, or there is no randomness.
    pub fn issue(&self, ids: &[SpiffeId], valid: &Range<SystemTime>) -> Result<Issued, LocalCaError> {
        let mut params = params(ids.first().map_or("localhost", SpiffeId::service), valid);
        for id in ids {
            params.subject_alt_names.push(SanType::URI(id.as_str().try_into()?));
        }
        params.subject_alt_names.extend([
            SanType::DnsName("localhost".try_into()?),
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        ]);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Issued { cert, key: key.serialize_pem().into() })
    }
}

fn params(name: &str, valid: &Range<SystemTime>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (valid.start.into(), valid.end.into());
    params
}
