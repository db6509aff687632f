//! Who a call is from, and whether they may make it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use http::{Extensions, HeaderMap, header};
use opentelemetry::KeyValue;
use seawall_error::{Code, Error, SEAWALL};
use seawall_provenance::decided;

use super::config::Config;
use super::verified::{self, Verified};
use crate::Identity;
use crate::jwks::Keyring;
use crate::jwt::{self, Claims, Expected, Rejected, TOKEN_BYTES_MAX};
use crate::rules::{Mistakes, Rule, Rules, Verdict};
use crate::tls::{PeerIdentity, SpiffeId};

/// Judges calls. Clones share what they know.
#[derive(Debug, Clone)]
pub struct Guard(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rules: Rules,
    tokens: Option<Tokens>,
}

#[derive(Debug)]
struct Tokens {
    expected: Expected,
    issuer: Arc<str>,
    keyring: Keyring,
    verified: Verified,
}

/// What is said of a call. Later, if a token may have a key that is about to come.
pub(super) enum Admission {
    Now(Result<Option<Identity>, Error>),
    Later(Pin<Box<dyn Future<Output = Result<Option<Identity>, Error>> + Send>>),
}

/// What is known of who makes a call, beside a token.
struct Connection {
    service: Option<SpiffeId>,
}

/// Why a token has no claims for us.
enum Failed {
    Rejected(Rejected),
    NoKeys,
}

impl Guard {
    /// Judges by the rules in encoded `google.protobuf.FileDescriptorSet`s. The trust domain of `config`
    /// comes before that of the own certificate, `trust_domain`.
    ///
    /// # Errors
    /// With every mistake in the rules.
    pub fn try_new(config: Config, trust_domain: Option<&str>, descriptor_sets: &[&[u8]]) -> Result<Self, Mistakes> {
        let rules = Rules::try_new(descriptor_sets, config.trust_domain.as_deref().or(trust_domain))?;
        let tokens = config.tokens.map(|tokens| Tokens {
            issuer: tokens.expected.issuer.as_str().into(),
            expected: tokens.expected,
            keyring: Keyring::new(tokens.source, tokens.times),
            verified: Verified::default(),
        });
        Ok(Self(Arc::new(Inner { rules, tokens })))
    }

    /// The rules.
    pub fn rules(&self) -> &Rules {
        &self.0.rules
    }

    /// Asks for the keys of tokens, as long as it is polled; never ends.
    pub async fn run(&self) {
        match &self.0.tokens {
            Some(tokens) => tokens.keyring.run().await,
            None => std::future::pending().await,
        }
    }

    /// Waits until tokens can be judged. [`run`](Self::run) must be polled meanwhile.
    pub async fn ready(&self) {
        if let Some(tokens) = &self.0.tokens {
            tokens.keyring.ready().await;
        }
    }

    pub(super) fn admit(&self, path: &str, headers: &HeaderMap, extensions: &Extensions) -> Admission {
        let rule = self.0.rules.by_path(path);
        let connection = Connection { service: service(extensions) };
        let Some((tokens, token)) = self.0.tokens.as_ref().zip(token(headers)) else {
            return Admission::Now(judge(rule, connection.identity()));
        };
        let token = match token {
            Ok(token) => token,
            Err(rejected) => return Admission::Now(connection.without_token(rule, Failed::Rejected(rejected))),
        };
        let seen = tokens.keyring.attempts();
        match tokens.claims(token) {
            Ok(claims) => Admission::Now(judge(rule, Some(connection.with_user(tokens, claims)))),
            Err(failed) if failed.may_pass() && !rule.is_public() && tokens.keyring.is_worth_waiting() => {
                let (guard, path, token) = (self.clone(), path.to_owned(), token.to_owned());
                Admission::Later(Box::pin(async move { guard.admit_later(&path, connection, &token, seen).await }))
            }
            Err(failed) => Admission::Now(connection.without_token(rule, failed)),
        }
    }

    /// Judges again once the keys were asked for. The deadline of the call ends it sooner.
    async fn admit_later(
        &self,
        path: &str,
        connection: Connection,
        token: &str,
        seen: u64,
    ) -> Result<Option<Identity>, Error> {
        let rule = self.0.rules.by_path(path);
        let Some(tokens) = &self.0.tokens else { return judge(rule, connection.identity()) };
        tokens.keyring.attempted(seen).await;
        match tokens.claims(token) {
            Ok(claims) => judge(rule, Some(connection.with_user(tokens, claims))),
            Err(failed) => connection.without_token(rule, failed),
        }
    }
}

impl Tokens {
    fn claims(&self, token: &str) -> Result<Arc<Claims>, Failed> {
        let keys = self.keyring.keys().map_err(|_| Failed::NoKeys)?;
        let (name, now) = (verified::name(token), SystemTime::now());
        if let Some(claims) = self.verified.get(&name, &keys) {
            return claims.check_time(now, self.expected.leeway).map(|()| claims).map_err(Failed::Rejected);
        }
        let claims = jwt::verify(token, &keys, &self.expected, now).map(Arc::new).map_err(Failed::Rejected)?;
        self.verified.add(name, &keys, Arc::clone(&claims));
        Ok(claims)
    }
}

impl Connection {
    fn identity(&self) -> Option<Identity> {
        self.service.clone().map(Identity::of_service)
    }

    fn with_user(self, tokens: &Tokens, claims: Arc<Claims>) -> Identity {
        Identity::of_user(self.service, Arc::clone(&tokens.issuer), claims)
    }

    /// A public method is for everybody, also for whom a bad token says nothing of. Everywhere else a
    /// token that is shown must be good, even if the certificate alone would do: who sends it means to
    /// be taken for somebody.
    fn without_token(&self, rule: &Rule, failed: Failed) -> Result<Option<Identity>, Error> {
        if rule.is_public() { Ok(self.identity()) } else { Err(failed.refused()) }
    }
}

impl Failed {
    /// Whether other keys could make the token good.
    fn may_pass(&self) -> bool {
        matches!(self, Self::NoKeys | Self::Rejected(Rejected::UnknownKey))
    }

    fn refused(self) -> Error {
        let (cause, code, reason, message) = match self {
            Self::NoKeys => {
                ("no_keys", Code::Unavailable, "TOKEN_KEYS_UNAVAILABLE", "tokens cannot be checked at present")
            }
            // Told only of a token whose signature is good: its owner has to get a new one.
            Self::Rejected(Rejected::Expired) => {
                ("expired", Code::Unauthenticated, "TOKEN_EXPIRED", "the token has expired")
            }
            Self::Rejected(why) => (why.name(), Code::Unauthenticated, "TOKEN_INVALID", "the token is not accepted"),
        };
        refusal(cause, SEAWALL.error(code, reason, message))
    }
}

fn judge(rule: &Rule, identity: Option<Identity>) -> Result<Option<Identity>, Error> {
    let error = match rule.judge(identity.as_ref()) {
        Verdict::Allowed => return Ok(identity),
        Verdict::Unauthenticated => {
            let message = "the method needs a token or a certificate that says who calls";
            refusal("no_credentials", SEAWALL.error(Code::Unauthenticated, "CREDENTIALS_MISSING", message))
        }
        Verdict::Denied => refusal(
            "denied",
            SEAWALL.error(Code::PermissionDenied, "NOT_ALLOWED", "the caller may not use this method"),
        ),
    };
    Err(error)
}

fn refusal(cause: &'static str, error: Error) -> Error {
    decided("auth.refused", &[KeyValue::new("cause", cause)], Vec::new);
    error
}

/// The service at the other end of the connection, by its certificate.
pub(super) fn service(extensions: &Extensions) -> Option<SpiffeId> {
    extensions.get::<PeerIdentity>().map(|peer| peer.id().clone())
}

/// The bearer token of a call (RFC 6750, section 2.1). `None` if it shows nothing of the kind, such as
/// credentials of another scheme, which may be for somebody else.
fn token(headers: &HeaderMap) -> Option<Result<&str, Rejected>> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?;
    if values.next().is_some() {
        // Whoever is between could go by the other one.
        return Some(Err(Rejected::Malformed));
    }
    let Some((scheme, token)) = value.to_str().ok().and_then(|text| text.split_once(' ')) else {
        return Some(Err(Rejected::Malformed));
    };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let token = token.trim_matches(' ');
    Some(if token.len() > TOKEN_BYTES_MAX { Err(Rejected::TooLong) } else { Ok(token) })
}
