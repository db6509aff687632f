//! Which calls may be made twice.

use http::HeaderMap;

use crate::error::Mistakes;

/// The header by which a call says that it is the same as another one with the same key.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What a method's contract says about calling it twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idempotency {
    /// It changes nothing: `idempotency_level = NO_SIDE_EFFECTS`.
    NoSideEffects,
    /// Twice is the same as once: `idempotency_level = IDEMPOTENT`.
    Idempotent,
    /// Twice with the same key is the same as once. Only calls that carry the header
    /// [`IDEMPOTENCY_KEY`] are retried.
    Keyed,
    /// Nothing is said, so it is not called twice.
    None,
}

impl Idempotency {
    pub(crate) fn check(self, what: &str, mistakes: &mut Mistakes) {
        if self == Self::None {
            mistakes.add(format!(
                "a method that is not declared idempotent cannot be {what}; declare `option idempotency_level = \
                 IDEMPOTENT` (or NO_SIDE_EFFECTS) in its contract, take a key in the header {IDEMPOTENCY_KEY}, or \
                 leave it without"
            ));
        }
    }

    /// Whether the call with these headers may be made twice.
    pub(crate) fn covers(self, headers: &HeaderMap) -> bool {
        match self {
            Self::NoSideEffects | Self::Idempotent => true,
            Self::Keyed => headers.get(IDEMPOTENCY_KEY).is_some_and(|key| !key.is_empty()),
            Self::None => false,
        }
    }
}
