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
//! A place is chosen among sixteen, in the emptier of two sets that the hash names, so that the table
//! is two thirds full before a key finds none.
//!
//! A key that has its place takes its token without a lock. Who takes an idle place for a new key
//! holds the locks of its sets, takes the name off the place, and then takes the first token for the
//! new key with one exchange, which fails if the old key has just taken one. A call of the old key
//! that comes too late for that sees that the name has changed, and starts again: at worst it has
//! cost the new key a token, and never has a key one too many.

use std::hash::{BuildHasher as _, DefaultHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::gcra::{Ask, Gcra, Verdict};
use crate::sync::{AtomicU64, Ordering};

/// Places of a set: its tags are one cache line, and its words another.
const WAYS: usize = 8;
/// New keys wait for each other only if their sets share one of these locks.
const LOCKS: usize = 64;
/// The tag of a place that no key has.
const FREE: u64 = 0;

#[derive(Debug, Default)]
struct Set {
    tags: [AtomicU64; WAYS],
    words: [AtomicU64; WAYS],
}

impl Set {
    fn ways(&self) -> impl Iterator<Item = (&AtomicU64, &AtomicU64)> {
        self.tags.iter().zip(&self.words)
    }
}

/// Whether a new key may have the place.
fn is_open(tag: &AtomicU64, word: &AtomicU64, gcra: &Gcra, now: Instant) -> bool {
    tag.load(Ordering::SeqCst) == FREE || gcra.is_idle(word.load(Ordering::SeqCst), now)
}

/// The table.
#[derive(Debug)]
pub(crate) struct Keyed {
    sets: Box<[Set]>,
    /// Held to give a place to a key; a key that has one does without.
    locks: Box<[Mutex<()>]>,
    strangers: AtomicU64,
    hasher: RandomState,
}

impl Keyed {
    pub(crate) fn new(keys_max: u32) -> Self {
        let sets = (keys_max as usize).div_ceil(WAYS);
        Self {
            sets: (0..sets).map(|_| Set::default()).collect(),
            locks: (0..LOCKS).map(|_| Mutex::default()).collect(),
            strangers: AtomicU64::new(0),
            hasher: RandomState::new(),
        }
    }

    /// Makes the hash by which the table knows a key. It must not be 0, which is no key's.
    pub(crate) fn hasher(&self) -> DefaultHasher {
        self.hasher.build_hasher()
    }

    /// What the bucket of the key says, and whether it is the key's own.
    pub(crate) fn take(&self, hash: u64, gcra: &Gcra, now: Instant, ask: Ask) -> (Verdict, bool) {
        if let Some(verdict) = self.take_of_known(hash, gcra, now, ask) {
            return (verdict, true);
        }
        let _locked = self.lock(hash);
        if let Some(verdict) = self.take_of_known(hash, gcra, now, ask) {
            return (verdict, true);
        }
        let mut sets = self.sets_of(hash).map(|set| &self.sets[set]);
        // Into the emptier one, or sets would fill up long before the table does.
        sets.sort_by_key(|set| set.ways().filter(|(tag, word)| !is_open(tag, word, gcra, now)).count());
        for (tag, word) in sets.into_iter().flat_map(Set::ways) {
            if !is_open(tag, word, gcra, now) {
                continue;
            }
            let owner = tag.swap(FREE, Ordering::SeqCst);
            if let Some(verdict) = gcra.take_if_idle(word, now, ask) {
                tag.store(hash, Ordering::SeqCst);
                return (verdict, true);
            }
            tag.store(owner, Ordering::SeqCst);
        }
        (gcra.take(&self.strangers, now, ask), false)
    }

    /// `None` if the key has no place, or has lost it just now.
    fn take_of_known(&self, hash: u64, gcra: &Gcra, now: Instant, ask: Ask) -> Option<Verdict> {
        let (tag, word) = self.place(hash)?;
        let verdict = gcra.take(word, now, ask);
        (tag.load(Ordering::SeqCst) == hash).then_some(verdict)
    }

    /// The bucket of the key, if it has one of its own.
    pub(crate) fn bucket(&self, hash: u64) -> Option<&AtomicU64> {
        self.place(hash).map(|(_, word)| word)
    }

    fn place(&self, hash: u64) -> Option<(&AtomicU64, &AtomicU64)> {
        self.sets_of(hash).into_iter().find_map(|set| {
            let set = &self.sets[set];
            let way = set.tags.iter().position(|tag| tag.load(Ordering::SeqCst) == hash)?;
            Some((&set.tags[way], &set.words[way]))
        })
    }

    /// Each half of the hash names a set. They may be the same one.
    fn sets_of(&self, hash: u64) -> [usize; 2] {
        let of = |half: u64| ((half * self.sets.len() as u64) >> 32) as usize;
        [of(hash >> 32), of(hash & u64::from(u32::MAX))]
    }

    /// The locks of the key's sets, always in the same order.
    fn lock(&self, hash: u64) -> [Option<MutexGuard<'_, ()>>; 2] {
        let mut stripes = self.sets_of(hash).map(|set| set % LOCKS);
        stripes.sort_unstable();
        let lock = |stripe: usize| self.locks[stripe].lock().unwrap_or_else(PoisonError::into_inner);
        [Some(lock(stripes[0])), (stripes[0] != stripes[1]).then(|| lock(stripes[1]))]
    }

    /// How many keys have a bucket that is not idle.
    pub(crate) fn busy(&self, gcra: &Gcra, now: Instant) -> usize {
        let words = self.sets.iter().flat_map(|set| &set.words);
        words.filter(|word| !gcra.is_idle(word.load(Ordering::Relaxed), now)).count()
    }

    /// The bucket of all keys that have found no place.
    pub(crate) fn strangers(&self) -> &AtomicU64 {
        &self.strangers
    }

    pub(crate) fn places(&self) -> usize {
        self.sets.len() * WAYS
    }
}
