//! What a token says once its signature is known to be good.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::{Expected, Rejected};

/// OpenID Connect Core, section 2, in bytes.
const SUBJECT_BYTES_MAX: usize = 255;

/// Where issuers put what has no name of its own in RFC 7519: the way to a member of the claims, with
/// points between objects, such as `realm_access.roles`.
#[derive(Debug, Clone)]
pub struct ClaimNames {
    /// Of the scopes: a text with spaces between them (RFC 8693, section 4.2), or a list.
    pub scopes: String,
    /// Of the roles, the same.
    pub roles: String,
}

/// The claims of a token that is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Who it is about, as the issuer knows them.
    pub subject: String,
    /// Until when it is valid, without the leeway.
    pub expires: SystemTime,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// What its subject is.
    pub roles: Vec<String>,
}

/// A claim that is there twice is an error.
#[derive(serde::Deserialize)]
struct Registered {
    iss: String,
    sub: String,
    aud: Audience,
    exp: f64,
    nbf: Option<f64>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Some(Vec<String>),
}

impl Claims {
    /// Reads the payload of a token whose signature is good.
    pub(super) fn read(payload: &[u8], expected: &Expected, now: SystemTime) -> Result<Self, Rejected> {
        let claims: Registered = serde_json::from_slice(payload).map_err(|_| Rejected::Claims)?;
        if claims.iss != expected.issuer {
            return Err(Rejected::Issuer);
        }
        let is_for_us = match &claims.aud {
            Audience::One(audience) => *audience == expected.audience,
            Audience::Some(audiences) => audiences.contains(&expected.audience),
        };
        if !is_for_us {
            return Err(Rejected::Audience);
        }
        let (now, leeway) = (seconds(now), expected.leeway.as_secs_f64());
        if now >= claims.exp + leeway {
            return Err(Rejected::Expired);
        }
        if claims.nbf.is_some_and(|nbf| now + leeway < nbf) {
            return Err(Rejected::NotYetValid);
        }
        let is_subject = (1..=SUBJECT_BYTES_MAX).contains(&claims.sub.len()) && !claims.sub.contains(char::is_control);
        let expires = Duration::try_from_secs_f64(claims.exp).ok().and_then(|exp| UNIX_EPOCH.checked_add(exp));
        let (Some(expires), true) = (expires, is_subject) else { return Err(Rejected::Claims) };
        Ok(Self {
            subject: claims.sub,
            expires,
            scopes: words(&claims.others, &expected.names.scopes)?,
            roles: words(&claims.others, &expected.names.roles)?,
        })
    }
}

/// The words at a way through the claims; none if there is nothing.
fn words(claims: &Map<String, Value>, way: &str) -> Result<Vec<String>, Rejected> {
    let mut steps = way.split('.');
    let first = steps.next().and_then(|step| claims.get(step));
    let found = steps.try_fold(first, |value, step| Some(value?.get(step))).flatten();
    match found {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(text.split_ascii_whitespace().map(str::to_owned).collect()),
        Some(Value::Array(list)) => {
            list.iter().map(|word| word.as_str().map(str::to_owned).ok_or(Rejected::Claims)).collect()
        }
        Some(_) => Err(Rejected::Claims),
    }
}

/// Since 1970; before it, none.
fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
