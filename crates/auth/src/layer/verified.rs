//! Tokens that were found good, so that a caller who comes again costs a hash and no signature.
//!
//! What is remembered is bound to the keys that it was verified with: new keys, new memory. Times are
//! judged again at each call.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ring::digest::{SHA256, digest};

use crate::jwks::Keys;
use crate::jwt::Claims;

/// Parts that are locked apart from each other.
const SHARDS: usize = 16;
/// Tokens that are remembered at most, half of them those that came last. Only those that are good are, so
/// that it is the issuer who decides how much this takes: a kibibyte each, as tokens usually are.
const TOKENS_MAX: usize = 2_048;
const YOUNG_MAX: usize = TOKENS_MAX / SHARDS / 2;

/// The name of a token here: two tokens of one name cannot be found.
type Name = [u8; 32];

#[derive(Debug, Default)]
pub(super) struct Verified([Mutex<Shard>; SHARDS]);

/// Two generations: when the young one is full it becomes the old one, which is forgotten.
#[derive(Debug, Default)]
struct Shard {
    /// Held, so that no other keys are at its address.
    keys: Option<Arc<Keys>>,
    young: HashMap<Name, Arc<Claims>>,
    old: HashMap<Name, Arc<Claims>>,
}

impl Verified {
    /// The claims of a token that these keys have verified before.
    pub(super) fn get(&self, name: &Name, keys: &Arc<Keys>) -> Option<Arc<Claims>> {
        let mut shard = self.shard(name);
        if !shard.is_of(keys) {
            return None;
        }
        if let Some(claims) = shard.young.get(name) {
            return Some(Arc::clone(claims));
        }
        let claims = shard.old.remove(name)?;
        shard.add(*name, Arc::clone(&claims));
        Some(claims)
    }

    /// Remembers a token that these keys have verified.
    pub(super) fn add(&self, name: Name, keys: &Arc<Keys>, claims: Arc<Claims>) {
        let mut shard = self.shard(&name);
        if !shard.is_of(keys) {
            *shard = Shard { keys: Some(Arc::clone(keys)), ..Shard::default() };
        }
        shard.add(name, claims);
    }

    fn shard(&self, name: &Name) -> std::sync::MutexGuard<'_, Shard> {
        self.0[usize::from(name[0]) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn is_of(&self, keys: &Arc<Keys>) -> bool {
        self.keys.as_ref().is_some_and(|its| Arc::ptr_eq(its, keys))
    }

    fn add(&mut self, name: Name, claims: Arc<Claims>) {
        if self.young.len() >= YOUNG_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(name, claims);
    }
}

/// What a token is known by.
pub(super) fn name(token: &str) -> Name {
    let mut name = [0; 32];
    name.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    name
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn claims(subject: &str) -> Arc<Claims> {
        let subject = subject.to_owned();
        Arc::new(Claims { subject, expires: SystemTime::now(), begins: None, scopes: Vec::new(), roles: Vec::new() })
    }

    #[test]
    fn what_is_remembered_is_of_the_token_and_of_the_keys() {
        let (verified, keys, others) = (Verified::default(), Arc::default(), Arc::default());
        verified.add(name("a"), &keys, claims("ada"));
        assert_eq!(verified.get(&name("a"), &keys).unwrap().subject, "ada");
        assert_eq!(verified.get(&name("b"), &keys), None);
        assert_eq!(verified.get(&name("a"), &others), None);
        // The same keys as before are not those that have come since.
        verified.add(name("a"), &others, claims("bob"));
        assert_eq!(verified.get(&name("a"), &keys), None);
    }

    #[test]
    fn it_has_a_bound_and_forgets_who_did_not_come_for_long() {
        let (verified, keys) = (Verified::default(), Arc::default());
        verified.add(name("regular"), &keys, claims("ada"));
        for number in 0..10 * TOKENS_MAX {
            verified.add(name(&number.to_string()), &keys, claims("bob"));
            assert!(verified.get(&name("regular"), &keys).is_some());
        }
        assert_eq!(verified.get(&name("0"), &keys), None);
        let remembered = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap();
            shard.young.len() + shard.old.len()
        };
        assert!(verified.0.iter().map(remembered).sum::<usize>() <= TOKENS_MAX);
    }
}
