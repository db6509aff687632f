//! What a token says once its signature is known to be good.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::{Expected, Rejected};

/// OpenID Connect Core, section 2, in bytes.
const SUBJECT_BYTES_MAX: usize = 255;
/// Scopes of a token, and roles.
const WORDS_MAX: usize = 256;

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
    /// From when on, if it says so.
    pub begins: Option<SystemTime>,
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
        let is_subject = (1..=SUBJECT_BYTES_MAX).contains(&claims.sub.len()) && !claims.sub.contains(char::is_control);
        if !is_subject {
            return Err(Rejected::Claims);
        }
        let read = Self {
            subject: claims.sub,
            expires: time(claims.exp)?,
            begins: claims.nbf.map(time).transpose()?,
            scopes: words(&claims.others, &expected.names.scopes)?,
            roles: words(&claims.others, &expected.names.roles)?,
        };
        read.check_time(now, expected.leeway)?;
        Ok(read)
    }

    /// Whether they hold now, as far as clocks agree.
    ///
    /// # Errors
    /// If they do not any more, or not yet.
    pub fn check_time(&self, now: SystemTime, leeway: Duration) -> Result<(), Rejected> {
        if self.expires.checked_add(leeway).is_none_or(|end| now >= end) {
            return Err(Rejected::Expired);
        }
        if self.begins.is_some_and(|begin| now.checked_add(leeway).is_none_or(|latest| latest < begin)) {
            return Err(Rejected::NotYetValid);
        }
        Ok(())
    }
}

/// The words at a way through the claims; none if there is nothing.
fn words(claims: &Map<String, Value>, way: &str) -> Result<Vec<String>, Rejected> {
    let mut steps = way.split('.');
    let first = steps.next().and_then(|step| claims.get(step));
    let found = steps.try_fold(first, |value, step| Some(value?.get(step))).flatten();
    let words: Vec<String> = match found {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) => text.split_ascii_whitespace().map(str::to_owned).collect(),
        Some(Value::Array(list)) => list
            .iter()
            .map(|word| word.as_str().map(str::to_owned).ok_or(Rejected::Claims))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(Rejected::Claims),
    };
    if words.len() <= WORDS_MAX { Ok(words) } else { Err(Rejected::Claims) }
}

/// A time in seconds since 1970. One before that is over as well.
fn time(seconds: f64) -> Result<SystemTime, Rejected> {
    let since = Duration::try_from_secs_f64(seconds.max(0.0)).map_err(|_| Rejected::Claims)?;
    UNIX_EPOCH.checked_add(since).ok_or(Rejected::Claims)
}
