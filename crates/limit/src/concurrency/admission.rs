//! Who gets in: one atomic for the way in and the way out, and a queue for when the limit is reached.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::task::Waker;

use seawall_propagation::Criticality;

use crate::sync::{AtomicU32, AtomicU64, Mutex, MutexGuard, Ordering};

/// The atomic has the calls in flight in its lower half and the calls that wait in its upper half, so
/// that who leaves sees in one step whether somebody waits for the place.
const IN_FLIGHT: u64 = 1;
const WAITING: u64 = 1 << 32;

/// How much of the limit each criticality may use, and how many calls may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shares {
    pub(super) default_share: f64,
    pub(super) sheddable_share: f64,
    /// Of each criticality, the least critical first: calls that may wait per call of the limit.
    pub(super) queues: [f64; 3],
}

impl Shares {
    /// The calls in flight under which a call gets in. Rounded up: a limit of a few calls has no
    /// reserve, and an idle server takes a call of any criticality.
    pub(super) fn allowed(&self, criticality: Criticality, limit: u32) -> u32 {
        let share = match criticality {
            Criticality::Critical => return limit.max(1),
            Criticality::Default => self.default_share,
            Criticality::Sheddable => self.sheddable_share,
        };
        ((f64::from(limit) * share).ceil() as u32).max(1)
    }

    /// The calls of a criticality that may wait.
    pub(super) fn room(&self, criticality: Criticality, limit: u32) -> u32 {
        (f64::from(limit) * self.queues[criticality as usize]).ceil() as u32
    }
}

/// What was there when a call asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) limit: u32,
    pub(super) in_flight: u32,
    pub(super) waiting: u32,
}

/// Orders the queue: the most critical first, then who came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    rank: u8,
    number: u64,
}

impl Key {
    fn criticality(self) -> Criticality {
        Criticality::ALL[usize::from(2 - self.rank)]
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Admitted,
    Waiting(Key),
    Full(Load),
}

/// Calls in flight under a limit, and calls that wait for a place.
///
/// A place is free, in flight, or handed from who leaves to who waits; a call waits only while the
/// calls in flight leave no place for its criticality. So nobody overtakes a call that is at least as
/// critical.
#[derive(Debug)]
pub(super) struct Admission {
    shares: Shares,
    limit: AtomicU32,
    state: AtomicU64,
    /// Taken only while calls wait or must begin to.
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// Who is not in here any more, and has not left, has been given a place.
    waiting: BTreeMap<Key, Waker>,
    counts: [u32; 3],
    next_number: u64,
}

impl Queue {
    fn remove(&mut self, key: Key) -> Option<Waker> {
        let waker = self.waiting.remove(&key)?;
        self.counts[key.criticality() as usize] -= 1;
        Some(waker)
    }

    fn first(&self) -> Option<Key> {
        self.waiting.first_key_value().map(|(key, _)| *key)
    }
}

impl Admission {
    pub(super) fn new(limit: u32, shares: Shares) -> Self {
        Self { shares, limit: AtomicU32::new(limit), state: AtomicU64::new(0), queue: Mutex::new(Queue::default()) }
    }

    /// Takes a place if there is one.
    pub(super) fn try_enter(&self, criticality: Criticality) -> Result<(), Load> {
        match self.enter(criticality, |_| false) {
            Entry::Admitted => Ok(()),
            Entry::Waiting(_) => unreachable!("nobody waits who may not"),
            Entry::Full(load) => Err(load),
        }
    }

    /// Takes a place, or one in the queue if there is room and `may_wait` says so, being told the calls
    /// that are ahead.
    pub(super) fn enter(&self, criticality: Criticality, may_wait: impl FnOnce(u32) -> bool) -> Entry {
        let allowed = self.shares.allowed(criticality, self.limit.load(Ordering::Acquire));
        let mut state = self.state.load(Ordering::Acquire);
        while waiting(state) == 0 && in_flight(state) < allowed {
            match self.state.compare_exchange_weak(state, state + IN_FLIGHT, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Entry::Admitted,
                Err(seen) => state = seen,
            }
        }
        self.enter_slowly(criticality, may_wait)
    }

    fn enter_slowly(&self, criticality: Criticality, may_wait: impl FnOnce(u32) -> bool) -> Entry {
        let mut queue = self.lock();
        let limit = self.limit.load(Ordering::Acquire);
        let allowed = self.shares.allowed(criticality, limit);
        let is_behind = queue.first().is_some_and(|key| key.criticality() >= criticality);
        let rank = 2 - criticality as u8;
        let has_room = queue.counts[criticality as usize] < self.shares.room(criticality, limit);
        let may_wait = has_room && may_wait(queue.counts[criticality as usize..].iter().sum());
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            let is_free = !is_behind && in_flight(state) < allowed;
            if !is_free && !may_wait {
                return Entry::Full(Load { limit: allowed, in_flight: in_flight(state), waiting: waiting(state) });
            }
            // To begin to wait is a step from a state without a place: who leaves after it sees it.
            let next = state + if is_free { IN_FLIGHT } else { WAITING };
            match self.state.compare_exchange_weak(state, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) if is_free => return Entry::Admitted,
                Ok(_) => break,
                Err(seen) => state = seen,
            }
        }
        let key = Key { rank, number: queue.next_number };
        queue.next_number += 1;
        queue.counts[criticality as usize] += 1;
        queue.waiting.insert(key, Waker::noop().clone());
        Entry::Waiting(key)
    }

    /// Whether who waits has been given a place; if not, `waker` will be woken when it is.
    pub(super) fn poll(&self, key: Key, waker: &Waker) -> bool {
        match self.lock().waiting.get_mut(&key) {
            Some(old) => {
                old.clone_from(waker);
                false
            }
            None => true,
        }
    }

    /// Stops waiting. False if a place has been given meanwhile, which the caller then has.
    pub(super) fn stop_waiting(&self, key: Key) -> bool {
        let was_waiting = self.lock().remove(key).is_some();
        if was_waiting {
            self.state.fetch_sub(WAITING, Ordering::AcqRel);
            // It may have been first in a queue in which the next one, less critical, has a place.
            self.grant();
        }
        was_waiting
    }

    /// Gives a place back, to who waits for it if somebody does.
    pub(super) fn leave(&self) {
        let before = self.state.fetch_sub(IN_FLIGHT, Ordering::AcqRel);
        if waiting(before) > 0 {
            self.grant();
        }
    }

    /// Sets the limit. Who is in stays in.
    pub(super) fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Ordering::Release);
        if waiting(self.state.load(Ordering::Acquire)) > 0 {
            self.grant();
        }
    }

    /// Gives free places to who waits first.
    fn grant(&self) {
        while let Some(waker) = self.grant_one() {
            waker.wake();
        }
    }

    fn grant_one(&self) -> Option<Waker> {
        let mut queue = self.lock();
        let key = queue.first()?;
        let allowed = self.shares.allowed(key.criticality(), self.limit.load(Ordering::Acquire));
        let mut state = self.state.load(Ordering::Acquire);
        while in_flight(state) < allowed {
            let next = state + IN_FLIGHT - WAITING;
            match self.state.compare_exchange_weak(state, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return queue.remove(key),
                Err(seen) => state = seen,
            }
        }
        None
    }

    pub(super) fn load(&self) -> Load {
        let state = self.state.load(Ordering::Acquire);
        Load { limit: self.limit.load(Ordering::Acquire), in_flight: in_flight(state), waiting: waiting(state) }
    }

    /// The load with the limit for calls of a criticality.
    pub(super) fn load_for(&self, criticality: Criticality) -> Load {
        let load = self.load();
        Load { limit: self.shares.allowed(criticality, load.limit), ..load }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing in here panics between two changes that belong together.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn in_flight(state: u64) -> u32 {
    state as u32
}

fn waiting(state: u64) -> u32 {
    (state >> 32) as u32
}

#[cfg(all(test, not(seawall_loom)))]
mod tests;
