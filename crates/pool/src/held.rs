//! Who holds a connection, and since when: finds those that are held too long.

use std::collections::HashMap;
use std::panic::Location;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::Shared;

/// The connections that are out. The pool's size bounds them.
#[derive(Debug, Default)]
pub(crate) struct Held(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    last_id: u64,
    out: HashMap<u64, Lease>,
}

#[derive(Debug)]
struct Lease {
    taken_at: &'static Location<'static>,
    since: Instant,
    reported: bool,
}

impl Held {
    pub(crate) fn add(&self, taken_at: &'static Location<'static>) -> u64 {
        let mut inner = self.lock();
        inner.last_id += 1;
        let id = inner.last_id;
        inner.out.insert(id, Lease { taken_at, since: Instant::now(), reported: false });
        id
    }

    pub(crate) fn remove(&self, id: u64) {
        self.lock().out.remove(&id);
    }

    /// Those held for at least `limit` by `now` that have not been reported before.
    fn overdue(&self, now: Instant, limit: Duration) -> Vec<(&'static Location<'static>, Duration)> {
        let mut overdue = Vec::new();
        for lease in self.lock().out.values_mut() {
            let held = now.saturating_duration_since(lease.since);
            if held >= limit && !lease.reported {
                lease.reported = true;
                overdue.push((lease.taken_at, held));
            }
        }
        overdue
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Logs each connection that is held for longer than `limit`, once, until the pool is gone.
pub(crate) async fn watch(shared: Weak<Shared>, limit: Duration) {
    let mut tick = tokio::time::interval((limit / 4).clamp(Duration::from_millis(10), Duration::from_secs(1)));
    loop {
        tick.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        for (taken_at, held) in shared.held.overdue(Instant::now(), limit) {
            tracing::warn!(
                database = shared.database,
                taken_at = %taken_at,
                held = ?held,
                "a database connection is held for long: is a transaction kept open across a call?"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overdue_lease_is_reported_once_with_its_place() {
        let held = Held::default();
        let here = Location::caller();
        let id = held.add(here);
        let (soon, late) = (Instant::now(), Instant::now() + Duration::from_secs(6));
        let limit = Duration::from_secs(5);
        assert!(held.overdue(soon, limit).is_empty());
        let reported = held.overdue(late, limit);
        assert_eq!(reported.len(), 1);
        assert_eq!(reported[0].0, here);
        assert!(held.overdue(late, limit).is_empty(), "reported twice");
        held.remove(id);
        assert!(held.lock().out.is_empty());
    }
}
