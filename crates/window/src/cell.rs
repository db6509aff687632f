//! One counter of one bucket: the count and the lap of the ring that it belongs to, in one word.
//!
//! Because both change together, a bucket needs no reset that writers would have to wait for, and no
//! event falls between an old lap and a new one: whoever comes first in a new lap starts from zero.

use crate::sync::{AtomicU64, Ordering};

/// How far ahead of a writer a cell is taken to be newer rather than very old. A writer is late by
/// the time between its clock reading and its write, which is far less than this many windows; a
/// cell that has not been written to for 2³² laps looks as if it were ahead.
const LAPS_AHEAD_MAX: u32 = 1_024;

/// The lap in the upper half, the count in the lower. Zero is a cell that counts nothing in any lap.
#[derive(Debug, Default)]
pub(crate) struct Cell(AtomicU64);

// Relaxed throughout: a cell is one word and says nothing about any other memory.
impl Cell {
    pub(crate) fn add(&self, lap: u32, n: u64) {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let (seen_lap, seen_count) = unpack(seen);
            let count = match seen_lap.wrapping_sub(lap) {
                0 => seen_count,
                1..=LAPS_AHEAD_MAX if seen_count > 0 => return,
                _ => 0,
            };
            let count = u32::try_from(u64::from(count).saturating_add(n)).unwrap_or(u32::MAX);
            match self.0.compare_exchange_weak(seen, pack(lap, count), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    /// Inlined, because a sum calls it for each counter of each bucket.
    #[inline]
    pub(crate) fn get(&self, lap: u32) -> u64 {
        match unpack(self.0.load(Ordering::Relaxed)) {
            (seen_lap, count) if seen_lap == lap => u64::from(count),
            _ => 0,
        }
    }

    pub(crate) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

fn pack(lap: u32, count: u32) -> u64 {
    u64::from(lap) << 32 | u64::from(count)
}

fn unpack(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_count_stops_rather_than_spilling_into_the_lap() {
        let cell = Cell::default();
        cell.add(7, u64::MAX);
        cell.add(7, 1);
        assert_eq!(cell.get(7), u64::from(u32::MAX));
        assert_eq!(cell.get(8), 0);
    }

    #[test]
    fn a_lap_starts_from_zero_and_a_late_event_of_the_lap_before_is_gone() {
        let cell = Cell::default();
        cell.add(7, 3);
        cell.add(8, 1);
        cell.add(7, 3);
        assert_eq!((cell.get(7), cell.get(8)), (0, 1));
    }

    #[test]
    fn a_cell_that_has_slept_for_ages_counts_again() {
        let cell = Cell::default();
        cell.add(u32::MAX, 1);
        cell.add(0, 1);
        assert_eq!((cell.get(u32::MAX), cell.get(0)), (0, 1), "the lap after the last is the first");
        cell.add(1 << 31, 1);
        assert_eq!(cell.get(1 << 31), 1, "half the laps later");
    }
}
