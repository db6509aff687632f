//! Consistent hashing with bounded load: calls with the same key go to the same endpoint, unless it
//! has more than its share.
//!
//! Karger et al. 1997; the bound is that of Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing
//! with Bounded Loads" (2016). The hash is the same in all processes, so that all clients agree.

use crate::hash::hash;

/// Points on the ring for each unit of weight.
const POINTS: u32 = 100;

/// The largest weight: it bounds the ring to 10,000 points an endpoint.
pub const WEIGHT_MAX: u32 = 100;

/// The ring. Its points depend on each endpoint's name and weight alone, so one that comes takes keys
/// only to itself, and one that goes leaves only its own to others.
#[derive(Debug, Clone)]
pub struct Ring {
    /// Sorted by the hash.
    points: Box<[(u64, u32)]>,
}

impl Ring {
    /// The ring of endpoints with these names and weights, which are cut to 1 to [`WEIGHT_MAX`]. The
    /// position of each in the iterator is its index.
    pub fn new<'a>(endpoints: impl IntoIterator<Item = (&'a str, u32)>) -> Self {
        let mut points = Vec::new();
        for (index, (name, weight)) in endpoints.into_iter().enumerate() {
            let count = weight.clamp(1, WEIGHT_MAX) * POINTS;
            points.extend((0..count).map(|n| (hash(u64::from(n), name.as_bytes()), index as u32)));
        }
        points.sort_unstable();
        Self { points: points.into() }
    }

    /// The endpoint for a key: the first at or behind the key's place on the ring that is
    /// `acceptable`, which is asked with its index and may be asked more than once. `None` if none
    /// is. Does not allocate.
    pub fn pick(&self, key: &[u8], acceptable: impl Fn(usize) -> bool) -> Option<usize> {
        let place = hash(u64::MAX, key);
        let start = self.points.partition_point(|(point, _)| *point < place);
        let (behind, from) = self.points.split_at(start);
        let mut last = None;
        from.iter()
            .chain(behind)
            .map(|(_, index)| *index as usize)
            // Neighbouring points of one endpoint are asked about once.
            .filter(|index| last.replace(*index) != Some(*index))
            .find(|index| acceptable(*index))
    }
}

/// The calls that an endpoint may have in flight so that one more is within its bound:
/// ⌈`load_factor`·(`in_flight` + 1)/`endpoints`⌉ with the calls in flight at all of them. `load_factor`
/// is over 1; the larger, the more keys stay where they are and the less even the load.
pub fn capacity(in_flight: u64, endpoints: usize, load_factor: f64) -> u64 {
    (load_factor * (in_flight + 1) as f64 / endpoints.max(1) as f64).ceil() as u64
}

#[cfg(all(test, not(seawall_loom)))]
mod tests;
