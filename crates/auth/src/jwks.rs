//! The keys that an issuer signs tokens with, as it publishes them (RFC 7517).
//!
//! [`Keys`] are one version of the set. A [`Keyring`] has the latest, and is the only one that asks for
//! it: at its interval, and sooner when a token has a key that is not known.

mod freshness;
mod keyring;
mod source;

use ring::signature::RsaPublicKeyComponents;
use serde::Deserialize;
use serde_json::Value;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub use freshness::Times;
pub use keyring::{Keyring, Unavailable};
pub use source::{FetchError, Source, SourceError};

use crate::jwt::Algorithm;

/// The most that is read of a set, in bytes, and how many keys there may be in it: each is tried for a
/// token that names none.
pub const JWKS_BYTES_MAX: usize = 256 * 1024;
const KEYS_MAX: usize = 64;
/// What ring takes.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1_024;

/// A set of keys.
#[derive(Debug, Default)]
pub struct Keys(Vec<Key>);

/// Why a document is no set of keys that anything can be verified with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// It is longer than [`JWKS_BYTES_MAX`].
    #[error("it is longer than 256 KiB")]
    TooLong,
    /// It is not a JSON object with a list of `keys`.
    #[error("it is no JSON object with a list of keys")]
    Malformed,
    /// It has more than 64 keys.
    #[error("it has more than 64 keys")]
    TooMany,
    /// It has none that is for signatures, public and of a kind that is known.
    #[error("it has no public key for signatures: RSA of 2048 to 8192 bits, P-256, P-384 or Ed25519")]
    NoneUsable,
}

/// A key and what it is for.
#[derive(Debug)]
pub(crate) struct Key {
    kid: Option<String>,
    /// The one algorithm that it is for, where it says so.
    algorithm: Option<Algorithm>,
    public: Public,
}

#[derive(Debug)]
enum Public {
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    /// As ring takes it, with the one algorithm that it can be for.
    Curve(Algorithm, Vec<u8>),
}

impl Keys {
    /// Reads a set. Keys of unknown kinds, for encryption, with a shared secret or too weak are left out,
    /// as the standard has it: others may use them.
    ///
    /// # Errors
    /// If it is no set, or one of no use.
    pub fn parse(json: &[u8]) -> Result<Self, KeysError> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        if json.len() > JWKS_BYTES_MAX {
            return Err(KeysError::TooLong);
        }
        let set: Set = serde_json::from_slice(json).map_err(|_| KeysError::Malformed)?;
        if set.keys.len() > KEYS_MAX {
            return Err(KeysError::TooMany);
        }
        let keys: Vec<Key> = set.keys.into_iter().filter_map(Key::read).collect();
        if keys.is_empty() { Err(KeysError::NoneUsable) } else { Ok(Self(keys)) }
    }

    /// The keys that may have signed a token with this algorithm. Where it names none, all that are for
    /// the algorithm.
    pub(crate) fn fitting(&self, kid: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &Key> {
        let is_named = move |key: &&Key| kid.is_none() || key.kid.as_deref() == kid;
        self.0.iter().filter(is_named).filter(move |key| key.is_for(algorithm))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none, which only the default is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A member of a set, as it is written.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Key {
    fn read(jwk: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(jwk).ok()?;
        let is_for_signatures = jwk.r#use.as_deref().is_none_or(|purpose| purpose == "sig");
        let may_verify = jwk.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if !is_for_signatures || !may_verify {
            return None;
        }
        let algorithm = match &jwk.alg {
            Some(name) => Some(Algorithm::by_name(name)?),
            None => None,
        };
        let public = jwk.public()?;
        Some(Self { kid: jwk.kid, algorithm, public })
    }

    /// A key is for the algorithms of its own kind only. That is what keeps a public key from being
    /// taken for a secret.
    fn is_for(&self, algorithm: Algorithm) -> bool {
        let is_of_kind = match &self.public {
            Public::Rsa(_) => algorithm.rsa().is_some(),
            Public::Curve(its, _) => *its == algorithm,
        };
        is_of_kind && self.algorithm.is_none_or(|only| only == algorithm)
    }

    pub(crate) fn has_signed(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match (&self.public, algorithm.rsa(), algorithm.curve()) {
            (Public::Rsa(key), Some(parameters), _) => key.verify(parameters, message, signature).is_ok(),
            (Public::Curve(_, key), _, Some(curve)) => {
                ring::signature::UnparsedPublicKey::new(curve, key).verify(message, signature).is_ok()
            }
            _ => false,
        }
    }
}

impl Jwk {
    fn public(&self) -> Option<Public> {
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", None) => {
                let (n, e) = (bytes(self.n.as_ref()?)?, bytes(self.e.as_ref()?)?);
                let n = n[n.iter().take_while(|byte| **byte == 0).count()..].to_vec();
                RSA_BYTES.contains(&n.len()).then_some(Public::Rsa(RsaPublicKeyComponents { n, e }))
            }
            ("EC", Some("P-256")) => self.point(32).map(|point| Public::Curve(Algorithm::Es256, point)),
            ("EC", Some("P-384")) => self.point(48).map(|point| Public::Curve(Algorithm::Es384, point)),
            ("OKP", Some("Ed25519")) => {
                let x = bytes(self.x.as_ref()?).filter(|x| x.len() == 32)?;
                Some(Public::Curve(Algorithm::EdDsa, x))
            }
            _ => None,
        }
    }

    /// The point as SEC 1 writes it, not compressed.
    fn point(&self, length: usize) -> Option<Vec<u8>> {
        let (x, y) = (bytes(self.x.as_ref()?)?, bytes(self.y.as_ref()?)?);
        (x.len() == length && y.len() == length).then(|| [&[4], &x[..], &y[..]].concat())
    }
}

fn bytes(text: &String) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests;
