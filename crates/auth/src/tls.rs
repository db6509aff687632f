//! TLS between services, and the identities of both ends.
//!
//! A process has one set of [files](Config): its certificate and key, and the authorities that it trusts.
//! A server takes connections with an [`Acceptor`], a channel makes them with a [`Connector`]; both use the
//! same files, which are read again when they change. Connections that exist go on; new ones are made with
//! what the files say now. A file that cannot be used is refused with one line in the log, and what was
//! before it stays.
//!
//! TLS 1.3 and 1.2 are spoken, by rustls, and HTTP/2 must be agreed upon by ALPN. Who the other end is
//! says the SPIFFE ID in its certificate: a server takes those that its settings name ([`Clients`]), a
//! channel the one that its peer must have. There is neither a way to skip a check nor one back to plaintext.
//!
//! Sessions are not resumed: a resumed one would skip the check of a certificate that has been replaced
//! since, and connections between services last.
//!
//! The cryptography is ring's: it builds in seconds with a C compiler. aws-lc-rs takes minutes or wants cmake.

mod acceptor;
mod clients;
mod config;
mod connector;
mod failure;
mod files;
mod identity;
#[cfg(feature = "local-ca")]
mod local_ca;
mod material;
mod shared;
mod verify;

use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;

pub use acceptor::{Acceptor, PeerIdentity, ServerStream};
pub use clients::{Allowed, Clients};
pub use config::Config;
pub use connector::{ClientStream, Connector};
pub use failure::{HandshakeError, Reason};
pub use files::TlsError;
pub use identity::{NotSpiffe, SpiffeId};
#[cfg(feature = "local-ca")]
pub use local_ca::{Issued, LocalCa, LocalCaError};
pub use shared::{check, not_after};

/// The only protocol that is spoken inside of TLS.
const ALPN_H2: &[u8] = b"h2";

fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider()))
}
