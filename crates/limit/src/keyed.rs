//! A bucket for each key, in a table that does not grow.
//!
//! The table has a fixed number of places, and takes all its memory (16 bytes a place) at the start.
//! A key is its hash, under a secret of the table: 64 bits, so that of a million keys two share a
//! bucket by chance once in forty million tables, and nobody can make keys that do. Nothing of the
//! key itself is kept, which may be a credential.
//!
//! What happens when keys come that nobody has seen:
//! - A new key takes a place that is free, or one whose bucket is idle: full again, all promises
//!   gone. Such a bucket is the same as a new one, so no key gains by losing its place.
//! - A key whose bucket is *not* idle never loses its place. So no flood of other keys can refill it.
//! - A key that finds no place shares one bucket with all others that find none, the bucket of
//!   strangers. So beyond the table a flood of made-up keys gets, all together, what one key gets.
//!   New honest callers are among them until a place is idle, which takes `burst / rate` at most
//!   for each that the flood has taken.
//!
//! A place is chosen among sixteen, in two sets that the hash names, so that the table is nearly full
//! before a key finds none.

use std::hash::{BuildHasher as _, DefaultHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::gcra::Gcra;
use crate::sync::{AtomicU64, Ordering};

/// Places of a set: its tags are one cache line, and its words another.
const WAYS: usize = 8;
/// New keys wait for each other only if they share one of these locks.
const LOCKS: usize = 64;
/// The tag of a place that was never taken.
const FREE: u64 = 0;

#[derive(Debug, Default)]
struct Set {
    tags: [AtomicU64; WAYS],
    words: [AtomicU64; WAYS],
}

/// The table.
#[derive(Debug)]
pub(crate) struct Keyed {
    sets: Box<[Set]>,
    /// A key that comes twice at the same time must not take two places.
    inserting: Box<[Mutex<()>]>,
    strangers: AtomicU64,
    hasher: RandomState,
}

impl Keyed {
    pub(crate) fn new(keys_max: u32) -> Self {
        let sets = (keys_max as usize).div_ceil(WAYS);
        Self {
            sets: (0..sets).map(|_| Set::default()).collect(),
            inserting: (0..LOCKS).map(|_| Mutex::default()).collect(),
            strangers: AtomicU64::new(0),
            hasher: RandomState::new(),
        }
    }

    /// Makes the hash by which the table knows a key. It must not be 0, which is no key's.
    pub(crate) fn hasher(&self) -> DefaultHasher {
        self.hasher.build_hasher()
    }

    /// The bucket of the key, and whether it is the key's own.
    pub(crate) fn bucket(&self, hash: u64, gcra: &Gcra, now: Instant) -> (&AtomicU64, bool) {
        if let Some(word) = self.known(hash) {
            return (word, true);
        }
        let _inserting = self.inserting[hash as usize % LOCKS].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(word) = self.known(hash) {
            return (word, true);
        }
        for set in self.sets_of(hash) {
            for (tag, word) in set.tags.iter().zip(&set.words) {
                let seen = tag.load(Ordering::Relaxed);
                if seen != FREE && !gcra.is_idle(word.load(Ordering::Relaxed), now) {
                    continue;
                }
                // The word stays: an idle bucket is a new one. A call of the key that had the place,
                // if it is between finding it and taking its token, takes it from this key.
                if tag.compare_exchange(seen, hash, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                    return (word, true);
                }
            }
        }
        (&self.strangers, false)
    }

    fn known(&self, hash: u64) -> Option<&AtomicU64> {
        self.sets_of(hash).into_iter().find_map(|set| {
            let way = set.tags.iter().position(|tag| tag.load(Ordering::Relaxed) == hash)?;
            Some(&set.words[way])
        })
    }

    /// Each half of the hash names a set. They may be the same one.
    fn sets_of(&self, hash: u64) -> [&Set; 2] {
        let of = |half: u64| &self.sets[((half * self.sets.len() as u64) >> 32) as usize];
        [of(hash >> 32), of(hash & u64::from(u32::MAX))]
    }

    /// How many keys have a bucket that is not idle.
    pub(crate) fn busy(&self, gcra: &Gcra, now: Instant) -> usize {
        let words = self.sets.iter().flat_map(|set| &set.words);
        words.filter(|word| !gcra.is_idle(word.load(Ordering::Relaxed), now)).count()
    }

    /// Calls that strangers could make now.
    pub(crate) fn strangers(&self) -> &AtomicU64 {
        &self.strangers
    }

    pub(crate) fn places(&self) -> usize {
        self.sets.len() * WAYS
    }
}
