//! How many bytes of messages there may be that nobody works on: those that have begun to come, and
//! those that are not read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What each message may have for nothing, so that small ones always pass. There are no more of them
/// than calls on all connections.
const FREE_BYTES: usize = 4 * 1024;
/// How many of the largest messages there is room for beyond that.
const LARGEST_MESSAGES_MAX: usize = 8;

/// What all messages together may have.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: AtomicUsize,
    bytes_max: usize,
}

/// There is no room.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Budget {
    /// `message_bytes_max` is how large a message may be.
    pub(super) fn of(message_bytes_max: usize) -> Self {
        Self { bytes: AtomicUsize::new(0), bytes_max: message_bytes_max.saturating_mul(LARGEST_MESSAGES_MAX) }
    }
}

/// What one message has. Dropped, it is given back.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Where some of it is counted.
    budget: Option<Arc<Budget>>,
    bytes: usize,
    /// Those that are not for nothing.
    counted: usize,
}

impl Held {
    /// The message has so many bytes more, which are counted even if there is no room for them; each time in
    /// the same budget.
    pub(super) fn add(&mut self, bytes: usize, budget: &Arc<Budget>) -> Result<(), Full> {
        self.bytes += bytes;
        let more = self.bytes.saturating_sub(FREE_BYTES) - self.counted;
        if more == 0 {
            return Ok(());
        }
        self.counted += more;
        let budget = self.budget.get_or_insert_with(|| Arc::clone(budget));
        let all = budget.bytes.fetch_add(more, Ordering::Relaxed) + more;
        if all > budget.bytes_max { Err(Full) } else { Ok(()) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.bytes.fetch_sub(self.counted, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_messages_pass_when_large_ones_have_no_room() {
        let budget = Arc::new(Budget::of(100_000));
        let mut large: Vec<_> = (0..8).map(|_| Held::default()).collect();
        assert!(large.iter_mut().all(|held| held.add(100_000, &budget) == Ok(())));
        let mut next = Held::default();
        assert_eq!(next.add(FREE_BYTES, &budget), Ok(()));
        assert_eq!(next.add(8 * FREE_BYTES + 1, &budget), Err(Full));
        drop(next);
        large.pop();
        assert_eq!(Held::default().add(100_000, &budget), Ok(()));
        drop(large);
        assert_eq!(budget.bytes.load(Ordering::Relaxed), 0, "what is dropped is given back");
    }
}
