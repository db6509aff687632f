//! How long the disks take. All hosts have the same kind.

use std::cell::Cell;
use std::time::Duration;

/// A job at the usual pace: SQLite with its data in memory, and a good disk under it.
const USUAL: (u64, u64) = (20, 400);
/// A job while the disks are slow.
const SLOW: (u64, u64) = (2_000, 40_000);

thread_local! {
    static IS_SLOW: Cell<bool> = const { Cell::new(false) };
}

/// Makes all disks slow, or well again.
pub(crate) fn set_slow(is_slow: bool) {
    IS_SLOW.set(is_slow);
}

/// How long half of a job takes, drawn anew each time.
pub(crate) fn delay() -> Duration {
    let (least, most) = if IS_SLOW.get() { SLOW } else { USUAL };
    Duration::from_micros(fastrand::u64(least..=most))
}
