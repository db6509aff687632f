//! The arithmetic that all rate limits share: a token bucket that keeps its promises.
//!
//! The bucket is the generic cell rate algorithm (ITU-T I.371): one point in time, up to which tokens
//! are committed, stands for how full it is. A refused call commits the next token to itself and is
//! told when that one comes; the next refused call is told a later time. So nobody is told to come
//! back to a token that is somebody else's.
//!
//! How a caller that was promised a token gets it:
//! - It comes back and says so ([`Ask::is_returning`]; a retry of gRPC has the header
//!   `grpc-previous-rpc-attempts`). Returning callers alone take promised tokens, in the order in
//!   which these fall due.
//! - A token that nobody has taken `grace` after it fell due is given to whoever comes. So callers
//!   that never come back cost nothing but the first `grace`, and no promise outlives it.
//! - Promises are made for the next ten seconds, and only within the time that the caller has left.
//!   A call beyond is refused without a promise, and its client is told not to retry.
//!
//! Promises need no memory: they are the newest tokens up to the committed time, so their number is
//! enough. Where other calls were let in after them, they count as later than they were, which can
//! lengthen the grace and never a caller's wait.
//!
//! What holds: until any time `t`, at most `burst + rate × t` calls have passed; within any window
//! `w`, at most `burst + rate × (w + grace)`; and a returning caller that comes between its time and
//! `grace` later passes, as long as no caller takes a promised token without having been promised
//! one (by coming too early, or because something else made it retry).

use std::time::{Duration, Instant};

use crate::sync::{AtomicU64, Ordering};

/// How far ahead tokens are promised (or one token, where even that takes longer).
pub(crate) const HORIZON: Duration = Duration::from_secs(10);
/// The bits of a word that count promises; the others are the committed time.
const PROMISED_BITS: u32 = 14;
/// How many promises a bucket can have made and not yet seen kept.
pub(crate) const PROMISED_MAX: u64 = (1 << PROMISED_BITS) - 1;
/// The latest time that is told apart: over two years at the highest rate, over 17 below 125,000 a
/// second. From then on the bucket stays as it is.
const NOW_MAX: u64 = (1 << 49) - 1;

/// What a call asks of a bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ask {
    /// Whether the call comes back after a refusal, or after its wait.
    pub is_returning: bool,
    /// How long its caller will wait for the answer; `None` if it does not say.
    pub remaining: Option<Duration>,
}

/// The settings of a bucket. Time is counted in ticks, of which a token is a power of two, so that
/// any rate is exact.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Gcra {
    origin: Instant,
    ticks_per_ns: f64,
    token: u64,
    burst: u64,
    grace: u64,
    horizon: u64,
}

/// What a bucket says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Admitted,
    /// The token that comes `after` is the caller's, and is the one at `place`.
    Promised {
        after: Duration,
        place: u64,
    },
    /// The next token that is nobody's comes `after`.
    Beyond {
        after: Duration,
    },
}

/// A bucket's state: tokens are committed up to this time, and of the newest of them these many are
/// promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    committed: u64,
    promised: u64,
}

impl State {
    fn unpack(word: u64) -> Self {
        Self { committed: word >> PROMISED_BITS, promised: word & PROMISED_MAX }
    }

    fn pack(self) -> u64 {
        self.committed << PROMISED_BITS | self.promised
    }
}

impl Gcra {
    /// The caller has checked that `rate_per_second` is in `0 < rate <= 1,000,000` and that `burst`
    /// tokens come within 30 days. `queue_max` are the places of those that wait in this process.
    pub(crate) fn new(rate_per_second: f64, burst: u32, queue_max: u32, grace: Duration, origin: Instant) -> Self {
        // A tick is between half a microsecond and one, or an eighth of a token where that is less.
        let bits = (1e6 / rate_per_second).log2().ceil().max(3.0) as u32;
        let token = 1 << bits;
        let ticks_per_ns = rate_per_second * token as f64 / 1e9;
        let ticks = |duration: Duration| (duration.as_nanos() as f64 * ticks_per_ns) as u64;
        let horizon = ticks(HORIZON).max(token).max(token * u64::from(queue_max));
        Self { origin, ticks_per_ns, token, burst: token * u64::from(burst), grace: ticks(grace), horizon }
    }

    fn ticks(&self, now: Instant) -> u64 {
        let ns = now.saturating_duration_since(self.origin).as_nanos() as f64;
        ((ns * self.ticks_per_ns) as u64).min(NOW_MAX)
    }

    /// One tick more than it is, so that who waits for it finds that it has passed.
    fn duration(&self, ticks: u64) -> Duration {
        Duration::from_nanos(((ticks + 1) as f64 / self.ticks_per_ns).ceil() as u64)
    }

    /// How long so many tokens take to come.
    pub(crate) fn token_time(&self, tokens: u32) -> Duration {
        self.duration(self.token * u64::from(tokens))
    }

    /// Takes a token of the bucket in `word`, or says when one comes.
    pub(crate) fn take(&self, word: &AtomicU64, now: Instant, ask: Ask) -> Verdict {
        let now = self.ticks(now);
        let mut seen = word.load(Ordering::Relaxed);
        loop {
            let (state, verdict) = self.decide(State::unpack(seen), now, ask);
            // A table looks at whose bucket it is afterwards, and must not see that from before.
            match word.compare_exchange_weak(seen, state.pack(), Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => return verdict,
                Err(other) => seen = other,
            }
        }
    }

    /// The same for a bucket that is about to change hands, unless somebody else uses it.
    pub(crate) fn take_if_idle(&self, word: &AtomicU64, now: Instant, ask: Ask) -> Option<Verdict> {
        let seen = word.load(Ordering::SeqCst);
        if !self.is_idle(seen, now) {
            return None;
        }
        let (state, verdict) = self.decide(State::unpack(seen), self.ticks(now), ask);
        word.compare_exchange(seen, state.pack(), Ordering::SeqCst, Ordering::SeqCst).ok()?;
        Some(verdict)
    }

    fn decide(&self, state: State, now: u64, ask: Ask) -> (State, Verdict) {
        let mut state = self.settled(state, now);
        if ask.is_returning && self.is_due(state, now, 0) {
            state.promised -= 1;
            return (state, Verdict::Admitted);
        }
        if state.committed + self.token <= now + self.burst {
            state.committed += self.token;
            return (state, Verdict::Admitted);
        }
        if self.is_due(state, now, self.grace) {
            state.promised -= 1;
            return (state, Verdict::Admitted);
        }
        let wait = state.committed + self.token - self.burst - now;
        let after = self.duration(wait);
        let is_in_time = ask.remaining.is_none_or(|remaining| after <= remaining);
        if wait > self.horizon || !is_in_time || state.promised == PROMISED_MAX {
            return (state, Verdict::Beyond { after });
        }
        state.committed += self.token;
        state.promised += 1;
        (state, Verdict::Promised { after, place: state.committed })
    }

    /// The state without what the bucket has no room for.
    fn settled(&self, mut state: State, now: u64) -> State {
        if state.promised > 0 {
            // The oldest promise fell due `burst` before its grace ended: its token has been in the
            // bucket of everybody for as long as it takes to fill that.
            let behind = (now + (state.promised - 1) * self.token).checked_sub(state.committed + self.grace);
            let lost = behind.map_or(0, |behind| behind / self.token + 1);
            state.promised = state.promised.saturating_sub(lost);
        }
        state.committed = state.committed.max(now);
        state
    }

    /// Whether the oldest promise fell due at least `by` ago.
    fn is_due(&self, state: State, now: u64, by: u64) -> bool {
        state.promised > 0 && state.committed + by <= now + self.burst + (state.promised - 1) * self.token
    }

    /// Takes back the promise of a caller that waits no longer. The token goes back if it is the
    /// newest one; if others were promised later ones, it falls due and goes to whoever comes.
    pub(crate) fn give_back(&self, word: &AtomicU64, place: u64) {
        let mut seen = word.load(Ordering::Relaxed);
        loop {
            let mut state = State::unpack(seen);
            if state.committed != place || state.promised == 0 {
                return;
            }
            state.committed -= self.token;
            state.promised -= 1;
            match word.compare_exchange_weak(seen, state.pack(), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    /// Whether the bucket is as good as new: full, and all its promises are gone.
    pub(crate) fn is_idle(&self, word: u64, now: Instant) -> bool {
        let (now, state) = (self.ticks(now), State::unpack(word));
        state.committed <= now && self.settled(state, now).promised == 0
    }

    /// How many calls would pass now, and how many promises are open.
    pub(crate) fn level(&self, word: u64, now: Instant) -> (u64, u64) {
        let now = self.ticks(now);
        let state = self.settled(State::unpack(word), now);
        ((now + self.burst).saturating_sub(state.committed) / self.token, state.promised)
    }
}
