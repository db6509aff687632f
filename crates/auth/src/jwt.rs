//! JSON Web Tokens: judged, never made (RFC 7519, with the advice of RFC 8725).
//!
//! A token is believed if its algorithm is on the list, one of the issuer's keys that is for this
//! algorithm has signed it, and it is from this issuer, for this audience and for now. Nothing in a
//! token says where keys are: `jwk`, `jku`, `x5u` and `x5c` are not looked at. Algorithms with a shared
//! secret do not exist here, nor does `none`.
//!
//! Nothing here reads a clock or a socket: [`verify`] is given both the keys and the time.

mod algorithm;
mod claims;
mod token;

use std::time::{Duration, SystemTime};

pub use algorithm::{Algorithm, Algorithms};
pub use claims::{ClaimNames, Claims};
pub use token::{TOKEN_BYTES_MAX, Token};

use crate::jwks::Keys;

/// What tokens have to be.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The `iss`, to the letter.
    pub issuer: String,
    /// What `aud` is, or has among others.
    pub audience: String,
    /// What they may be signed with.
    pub algorithms: Vec<Algorithm>,
    /// How far the clocks of the issuer and of this process may be apart.
    pub leeway: Duration,
    /// Where scopes and roles are.
    pub names: ClaimNames,
}

/// Why a token is not believed. Callers are told no more than whether it has expired; the name is for
/// metrics and spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// It is longer than [`TOKEN_BYTES_MAX`].
    #[error("the token is too long")]
    TooLong,
    /// It is not a signed token in the compact form, or has an extension that must be understood.
    #[error("the token is malformed")]
    Malformed,
    /// Its algorithm is not on the list.
    #[error("the algorithm is not allowed")]
    Algorithm,
    /// No key has its id and is for its algorithm.
    #[error("the key is unknown")]
    UnknownKey,
    /// The key has not signed it.
    #[error("the signature is wrong")]
    Signature,
    /// A claim that it must have is missing or is of another type.
    #[error("the claims are malformed")]
    Claims,
    /// It is from somebody else.
    #[error("the issuer is another one")]
    Issuer,
    /// It is for somebody else.
    #[error("the audience is another one")]
    Audience,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYetValid,
}

impl Rejected {
    /// A name such as `unknown_key`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Claims => "claims",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
        }
    }
}

/// Judges a token at a point in time.
///
/// Its claims are read only once its signature is known to be good, so that nobody but the issuer
/// chooses what they are.
///
/// # Errors
/// With the first thing that is wrong.
pub fn verify(token: &str, keys: &Keys, expected: &Expected, now: SystemTime) -> Result<Claims, Rejected> {
    let token = Token::parse(token)?;
    let algorithm = token.algorithm().filter(|algorithm| expected.algorithms.contains(algorithm));
    let algorithm = algorithm.ok_or(Rejected::Algorithm)?;
    let mut fitting = keys.fitting(token.kid(), algorithm).peekable();
    fitting.peek().ok_or(Rejected::UnknownKey)?;
    if !fitting.any(|key| key.has_signed(algorithm, token.signed(), token.signature())) {
        return Err(Rejected::Signature);
    }
    Claims::read(token.payload(), expected, now)
}

#[cfg(test)]
pub(crate) mod signer;
#[cfg(test)]
mod tests;
