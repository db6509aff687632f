//! Who makes a call.

use std::fmt;
use std::sync::Arc;

use tokio::task::futures::TaskLocalFuture;

use crate::jwt::Claims;
use crate::tls::SpiffeId;

tokio::task_local! {
    static CURRENT: Identity;
}

/// Who makes a call: the service at the other end of the connection, the user of the token, or both.
/// Clones share it.
///
/// A handler finds it as [`Identity::current`], and in the extensions of its request. There is none for
/// calls without credentials, which only public methods let in.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity(Arc<Inner>);

#[derive(PartialEq, Eq)]
struct Inner {
    service: Option<SpiffeId>,
    user: Option<User>,
}

#[derive(PartialEq, Eq)]
struct User {
    issuer: Arc<str>,
    claims: Arc<Claims>,
}

impl Identity {
    /// The identity of a connection's certificate.
    pub fn of_service(service: SpiffeId) -> Self {
        Self(Arc::new(Inner { service: Some(service), user: None }))
    }

    /// The identity of a token, and of the certificate of the connection that it came over, if it has one.
    pub(crate) fn of_user(service: Option<SpiffeId>, issuer: Arc<str>, claims: Arc<Claims>) -> Self {
        Self(Arc::new(Inner { service, user: Some(User { issuer, claims }) }))
    }

    /// Who makes the call that this task serves. A task that a handler spawns knows nobody, unless it is
    /// given an identity with [`scope`](Self::scope).
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// Makes this the [`current`](Self::current) identity wherever `future` is polled.
    pub fn scope<F: Future>(self, future: F) -> TaskLocalFuture<Self, F> {
        CURRENT.scope(self, future)
    }

    /// Runs `f` with this as the current identity, if there is one.
    pub(crate) fn enter<T>(identity: Option<&Self>, f: impl FnOnce() -> T) -> T {
        match identity {
            Some(identity) => CURRENT.sync_scope(identity.clone(), f),
            None => f(),
        }
    }

    /// The service at the other end of the connection, by its certificate.
    pub fn service(&self) -> Option<&SpiffeId> {
        self.0.service.as_ref()
    }

    /// Whom the token is about: `sub`, which only its issuer gives a meaning.
    pub fn subject(&self) -> Option<&str> {
        self.0.user.as_ref().map(|user| user.claims.subject.as_str())
    }

    /// Who has issued the token.
    pub fn issuer(&self) -> Option<&str> {
        self.0.user.as_ref().map(|user| &*user.issuer)
    }

    /// The scopes of the token.
    pub fn scopes(&self) -> &[String] {
        self.0.user.as_ref().map_or(&[], |user| &user.claims.scopes)
    }

    /// The roles of the token.
    pub fn roles(&self) -> &[String] {
        self.0.user.as_ref().map_or(&[], |user| &user.claims.roles)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("service", &self.service())
            .field("issuer", &self.issuer())
            .field("subject", &self.subject())
            .field("scopes", &self.scopes())
            .field("roles", &self.roles())
            .finish()
    }
}
