//! Latencies counted in buckets, without a lock or a shared cache line.
//!
//! Each thread has its own counters, which it alone writes: with a load and a store, not with an atomic
//! addition. Whoever reads adds up those of all threads, and may see a call in the count that is not yet in
//! the sum, as every reader of running counters does.

use std::array;
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tonic::Code;

use crate::series::Series;

/// The boundaries of gRFC A66, in nanoseconds.
pub(crate) const BOUNDARIES: [u64; 41] = [
    0,
    10_000,
    50_000,
    100_000,
    300_000,
    600_000,
    800_000,
    1_000_000,
    2_000_000,
    3_000_000,
    4_000_000,
    5_000_000,
    6_000_000,
    8_000_000,
    10_000_000,
    13_000_000,
    16_000_000,
    20_000_000,
    25_000_000,
    30_000_000,
    40_000_000,
    50_000_000,
    65_000_000,
    80_000_000,
    100_000_000,
    130_000_000,
    160_000_000,
    200_000_000,
    250_000_000,
    300_000_000,
    400_000_000,
    500_000_000,
    650_000_000,
    800_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
    20_000_000_000,
    50_000_000_000,
    100_000_000_000,
];
const BUCKETS: usize = BOUNDARIES.len() + 1;
/// The codes of gRPC, from 0.
const CODES: usize = 17;

/// What has been counted of one series and code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Latencies {
    /// How many took no longer than each of the [`BOUNDARIES`] and longer than the one before; the last is of those
    /// that took longer than all.
    pub(crate) buckets: [u64; BUCKETS],
    /// How long all of them took, in nanoseconds.
    pub(crate) sum: u64,
}

impl Latencies {
    const NONE: Self = Self { buckets: [0; BUCKETS], sum: 0 };

    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.sum += other.sum;
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
    }
}

/// What has been counted of one series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// How many began.
    pub(crate) started: u64,
    /// Those that ended, by code.
    pub(crate) ended: [Option<Box<Latencies>>; CODES],
}

impl Totals {
    fn add(&mut self, other: &Self) {
        self.started += other.started;
        for (mine, theirs) in self.ended.iter_mut().zip(&other.ended) {
            if let Some(theirs) = theirs {
                mine.get_or_insert_with(|| Box::new(Latencies::NONE)).add(theirs);
            }
        }
    }

    fn ended(&mut self, code: Code, elapsed: u64) {
        let latencies = self.ended[code as usize].get_or_insert_with(|| Box::new(Latencies::NONE));
        latencies.buckets[bucket(elapsed)] += 1;
        latencies.sum += elapsed;
    }
}

/// The counters of one thread for one series.
#[derive(Debug, Default)]
struct Shard {
    started: AtomicU64,
    ended: [OnceLock<Box<Counters>>; CODES],
}

#[derive(Debug)]
struct Counters {
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self { buckets: array::from_fn(|_| AtomicU64::new(0)), sum: AtomicU64::new(0) }
    }
}

/// Only one thread writes, so that nothing gets between the load and the store.
fn add(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

/// The bucket of a time in nanoseconds.
fn bucket(elapsed: u64) -> usize {
    BOUNDARIES.partition_point(|boundary| *boundary < elapsed)
}

impl Shard {
    fn totals(&self) -> Totals {
        let of = |counters: &Counters| Latencies {
            buckets: array::from_fn(|at| counters.buckets[at].load(Ordering::Relaxed)),
            sum: counters.sum.load(Ordering::Relaxed),
        };
        Totals {
            started: self.started.load(Ordering::Relaxed),
            ended: array::from_fn(|code| self.ended[code].get().map(|counters| Box::new(of(counters)))),
        }
    }
}

/// The counters of one series, of all threads.
#[derive(Debug, Default)]
pub(crate) struct Shards(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    shards: Vec<Arc<Shard>>,
    /// What threads counted that have ended.
    retired: Totals,
}

thread_local! {
    /// This thread's, by the index of the series.
    static MINE: RefCell<Vec<Option<Arc<Shard>>>> = const { RefCell::new(Vec::new()) };
}

impl Shards {
    /// A call has begun.
    pub(crate) fn started(series: &'static Series) {
        if !with_mine(series, |shard| add(&shard.started, 1)) {
            series.shards.lock().retired.started += 1;
        }
    }

    /// A call has ended.
    pub(crate) fn ended(series: &'static Series, code: Code, elapsed: Duration) {
        let elapsed = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let counted = with_mine(series, |shard| {
            let counters = shard.ended[code as usize].get_or_init(Box::default);
            add(&counters.buckets[bucket(elapsed)], 1);
            add(&counters.sum, elapsed);
        });
        if !counted {
            series.shards.lock().retired.ended(code, elapsed);
        }
    }

    /// All that was counted.
    pub(crate) fn totals(&self) -> Totals {
        let mut inner = self.lock();
        let Inner { shards, retired } = &mut *inner;
        shards.retain(|shard| {
            // The thread that wrote it has ended.
            let is_retired = Arc::strong_count(shard) == 1;
            if is_retired {
                retired.add(&shard.totals());
            }
            !is_retired
        });
        let mut totals = retired.clone();
        shards.iter().for_each(|shard| totals.add(&shard.totals()));
        totals
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether this thread has counters, which it has until it ends.
fn with_mine(series: &'static Series, count: impl FnOnce(&Shard)) -> bool {
    let mine = |mine: &RefCell<Vec<Option<Arc<Shard>>>>| {
        if let Some(Some(shard)) = mine.borrow().get(series.index) {
            return count(shard);
        }
        count(&first(series, &mut mine.borrow_mut()));
    };
    MINE.try_with(mine).is_ok()
}

#[cold]
fn first(series: &'static Series, mine: &mut Vec<Option<Arc<Shard>>>) -> Arc<Shard> {
    let shard = Arc::<Shard>::default();
    series.shards.lock().shards.push(Arc::clone(&shard));
    if mine.len() <= series.index {
        mine.resize(series.index + 1, None);
    }
    mine[series.index] = Some(Arc::clone(&shard));
    shard
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{Kind, Table, Target};

    fn series(method: &str) -> &'static Series {
        Table::new(Kind::Server, &Target::default(), [method]).get(&format!("/{method}"))
    }

    #[test]
    fn a_boundary_belongs_to_its_bucket() {
        for (elapsed, expected) in [(0, 0), (1, 1), (10_000, 1), (10_001, 2), (100_000_000_000, 40), (u64::MAX, 41)] {
            assert_eq!(bucket(elapsed), expected, "{elapsed}");
        }
        assert!(BOUNDARIES.is_sorted());
    }

    #[test]
    fn threads_are_added_up_also_when_they_have_ended() {
        let series = series("threads.Are/Added");
        let call = || {
            Shards::started(series);
            Shards::ended(series, Code::Ok, Duration::from_micros(7));
        };
        call();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..100).for_each(|_| call()));
            }
        });
        Shards::started(series);
        Shards::ended(series, Code::Unavailable, Duration::from_secs(200));
        for _ in 0..2 {
            let totals = series.shards.totals();
            assert_eq!(totals.started, 302);
            let of = |code: Code| totals.ended[code as usize].as_deref().unwrap();
            assert_eq!((of(Code::Ok).count(), of(Code::Ok).buckets[1], of(Code::Ok).sum), (301, 301, 301 * 7_000));
            assert_eq!(of(Code::Unavailable).buckets[41], 1);
            assert_eq!(totals.ended.iter().flatten().count(), 2);
        }
    }
}
