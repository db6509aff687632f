//! Handshakes that fail: why, counted and told.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use rustls::CertificateError;

use super::verify::WrongIdentity;

/// Failures for the same reason are one line in this time, with how many there were: whoever can connect
/// can have them.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Why a handshake has failed, as metrics label it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It took too long.
    Timeout,
    /// The peer closed the connection, as a probe of the port does.
    Closed,
    /// What came is not TLS, such as HTTP/2 in plaintext.
    NotTls,
    /// Neither TLS 1.3 nor 1.2, or no algorithm in common.
    Version,
    /// HTTP/2 was not agreed upon by ALPN.
    NoH2,
    /// A certificate was asked for, and there was none.
    NoCertificate,
    /// No authority that is trusted has signed the certificate.
    UnknownAuthority,
    /// The certificate has expired.
    Expired,
    /// The certificate is not valid yet.
    NotYetValid,
    /// The certificate is of an identity that is not allowed, or of none.
    Identity,
    /// The certificate does not name the host that was called.
    Name,
    /// The certificate cannot be used otherwise.
    Certificate,
    /// The peer has refused us, and says so.
    Refused,
    /// The files of this process cannot be used.
    Files,
    /// Anything else.
    Other,
}

impl Reason {
    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::NotTls => "not_tls",
            Self::Version => "version",
            Self::NoH2 => "no_h2",
            Self::NoCertificate => "no_certificate",
            Self::UnknownAuthority => "unknown_authority",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Identity => "identity",
            Self::Name => "name",
            Self::Certificate => "certificate",
            Self::Refused => "refused",
            Self::Files => "files",
            Self::Other => "other",
        }
    }

    fn of(error: &io::Error) -> Self {
        let Some(tls) = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) else {
            return match error.kind() {
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe => Self::Closed,
                io::ErrorKind::TimedOut => Self::Timeout,
                _ => Self::Other,
            };
        };
        match tls {
            rustls::Error::InvalidCertificate(error) => Self::of_certificate(error),
            rustls::Error::NoCertificatesPresented => Self::NoCertificate,
            rustls::Error::NoApplicationProtocol => Self::NoH2,
            rustls::Error::PeerIncompatible(_) => Self::Version,
            rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol) => Self::NoH2,
            rustls::Error::AlertReceived(_) => Self::Refused,
            rustls::Error::InvalidMessage(_)
            | rustls::Error::InappropriateMessage { .. }
            | rustls::Error::InappropriateHandshakeMessage { .. }
            | rustls::Error::PeerSentOversizedRecord => Self::NotTls,
            _ => Self::Other,
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            // The latter is that of an authority which has the name of one that is trusted.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownAuthority,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::Name,
            error if wrong_identity(error).is_some() => Self::Identity,
            _ => Self::Certificate,
        }
    }
}

fn wrong_identity(error: &CertificateError) -> Option<&WrongIdentity> {
    let CertificateError::Other(other) = error else { return None };
    other.0.downcast_ref()
}

/// A handshake that has failed. What the peer is told is an alert; this is for the log.
#[derive(Debug)]
pub struct HandshakeError {
    reason: Reason,
    source: Box<dyn StdError + Send + Sync>,
}

impl HandshakeError {
    pub(super) fn new(reason: Reason, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { reason, source: source.into() }
    }

    /// Why.
    pub fn reason(&self) -> Reason {
        self.reason
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        let reason = Reason::of(&error);
        let tls = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        // What rustls shows of an error that is not its own is how Rust would write it.
        if let Some(rustls::Error::InvalidCertificate(certificate)) = tls
            && let Some(wrong) = wrong_identity(certificate)
        {
            return Self::new(reason, wrong.clone());
        }
        Self::new(reason, error)
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the TLS handshake has failed ({})", self.reason.as_str())
    }
}

impl StdError for HandshakeError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}

impl From<HandshakeError> for io::Error {
    fn from(error: HandshakeError) -> Self {
        let kind = match error.reason {
            Reason::Timeout => io::ErrorKind::TimedOut,
            Reason::Closed => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

/// Which end of the connection this process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Server,
    Client,
}

impl Side {
    fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// When something was last logged, by side and reason: as many as there are of these.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<Vec<Logged>>);

#[derive(Debug)]
struct Logged {
    of: (Side, Reason),
    at: Instant,
    unsaid: u64,
}

impl Failures {
    /// Counts a failure, and logs it unless one like it was logged a moment ago.
    pub(super) fn note(&self, side: Side, peer: &dyn fmt::Display, error: &HandshakeError) {
        let labels = [KeyValue::new("side", side.as_str()), KeyValue::new("reason", error.reason.as_str())];
        seawall_provenance::counted("tls.handshake_failed", &labels);
        let (side_name, reason, cause) = (side.as_str(), error.reason.as_str(), &error.source);
        if error.reason == Reason::Closed {
            tracing::debug!(%peer, side = side_name, reason, %cause, "TLS handshake failed");
        } else if let Some(unsaid) = self.to_say((side, error.reason), Instant::now()) {
            tracing::warn!(%peer, side = side_name, reason, %cause, unsaid, "TLS handshake failed");
        }
    }

    /// How many like it were not logged before it, if it is to be logged.
    fn to_say(&self, of: (Side, Reason), now: Instant) -> Option<u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = all.iter_mut().find(|logged| logged.of == of) else {
            all.push(Logged { of, at: now, unsaid: 0 });
            return Some(0);
        };
        if now.saturating_duration_since(last.at) < LOG_INTERVAL {
            last.unsaid += 1;
            return None;
        }
        last.at = now;
        Some(std::mem::take(&mut last.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_like_one_another_are_a_line_at_a_time() {
        let (failures, start) = (Failures::default(), Instant::now());
        let say = |reason, after: u64| failures.to_say((Side::Server, reason), start + Duration::from_secs(after));
        assert_eq!(say(Reason::Expired, 0), Some(0));
        assert_eq!(say(Reason::Expired, 1), None);
        assert_eq!(say(Reason::Expired, 9), None);
        assert_eq!(say(Reason::Identity, 9), Some(0), "another reason");
        assert_eq!(say(Reason::Expired, 10), Some(2));
        assert_eq!(say(Reason::Expired, 20), Some(0));
    }
}
