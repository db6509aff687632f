//! A token in the compact form: `header.payload.signature` (RFC 7515, section 7.1).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserialize, Deserializer, IgnoredAny};

use super::{Algorithm, Rejected};

/// The most that is read of a token, in bytes. Those of large issuers have up to four kibibytes.
pub const TOKEN_BYTES_MAX: usize = 8_192;

/// A token that has its form. Nothing in it is to be believed yet.
#[derive(Debug)]
pub struct Token<'a> {
    header: Header,
    signed: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// What is looked at of a header. A member that is there twice is an error.
#[derive(Debug, serde::Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    #[serde(default, deserialize_with = "is_there")]
    crit: bool,
}

fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl<'a> Token<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// If it is too long, or not three parts in base64url of which the first is a header. A header with
    /// `crit` is refused, whatever it lists: it names extensions that must be understood, and none is.
    pub fn parse(text: &'a str) -> Result<Self, Rejected> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(Rejected::TooLong);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Rejected::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Rejected::Malformed)?;
        // A further point would be one that is not base64url.
        let [header, payload, signature] = [decode(header)?, decode(payload)?, decode(signature)?];
        let header: Header = serde_json::from_slice(&header).map_err(|_| Rejected::Malformed)?;
        if header.crit || !header.typ.as_deref().is_none_or(is_access_token) {
            return Err(Rejected::Malformed);
        }
        Ok(Self { header, signed, payload, signature })
    }

    /// What it says that it is signed with; `None` for what is none of ours, such as `none` and `HS256`.
    pub fn algorithm(&self) -> Option<Algorithm> {
        Algorithm::by_name(&self.header.alg)
    }

    /// The name of its key.
    pub fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    pub(crate) fn signed(&self) -> &[u8] {
        self.signed.as_bytes()
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    pub(crate) fn signature(&self) -> &[u8] {
        &self.signature
    }
}

/// Neither padding nor bits that say nothing: a token is written in one way.
fn decode(part: &str) -> Result<Vec<u8>, Rejected> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Rejected::Malformed)
}

/// A token for another purpose says so, and is not taken for this one (RFC 8725, section 3.11).
fn is_access_token(typ: &str) -> bool {
    let short = typ.get(.."application/".len()).filter(|prefix| prefix.eq_ignore_ascii_case("application/"));
    let name = short.map_or(typ, |prefix| &typ[prefix.len()..]);
    ["jwt", "at+jwt"].iter().any(|known| name.eq_ignore_ascii_case(known))
}
