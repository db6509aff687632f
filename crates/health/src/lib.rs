//! Readiness latches behind `grpc.health.v1`.
//!
//! A process is ready when everything it needs is. Each such thing takes a [`Latch`] and reports on
//! it; the process says `SERVING` only while all latches are ready, and `NOT_SERVING` from the start
//! of the drain. Stock health starts out as `SERVING`; this one does not.
//!
//! ```
//! use seawall_health::Health;
//!
//! let health = Health::new();
//! let database = health.latch("database");
//! assert!(!health.is_serving());
//! database.ready();
//! assert!(health.is_serving());
//! health.drain();
//! assert!(!health.is_serving());
//! ```
//!
//! # Structure
//! `lib.rs` keeps the latches; `service.rs` answers for them over gRPC.

mod service;

use tokio::sync::watch;

pub use tonic_health::pb::FILE_DESCRIPTOR_SET;

/// The state of a process. Clones are the same state.
#[derive(Debug, Clone)]
pub struct Health(watch::Sender<State>);

#[derive(Debug, Clone, Default)]
struct State {
    latches: Vec<(&'static str, bool)>,
    services: Vec<&'static str>,
    draining: bool,
}

impl State {
    fn is_serving(&self) -> bool {
        !self.draining && self.latches.iter().all(|(_, ready)| *ready)
    }
}

impl Health {
    /// A process that needs nothing yet.
    pub fn new() -> Self {
        Self(watch::Sender::new(State::default()))
    }

    /// Adds something that must be ready. It is not, until it says so.
    pub fn latch(&self, name: &'static str) -> Latch {
        let mut index = 0;
        self.0.send_modify(|state| {
            index = state.latches.len();
            state.latches.push((name, false));
        });
        Latch { health: self.clone(), index }
    }

    /// Adds a gRPC service to those that can be asked for by name. The empty name always can.
    pub fn register(&self, service: &'static str) {
        self.0.send_modify(|state| state.services.push(service));
    }

    /// From now on nothing is serving, whatever the latches say.
    pub fn drain(&self) {
        self.0.send_modify(|state| state.draining = true);
    }

    /// Whether every latch is ready and the drain has not begun.
    pub fn is_serving(&self) -> bool {
        self.0.borrow().is_serving()
    }

    /// The latches that are not ready.
    pub fn waiting_for(&self) -> Vec<&'static str> {
        self.0.borrow().latches.iter().filter(|(_, ready)| !ready).map(|(name, _)| *name).collect()
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

/// One thing that must be ready.
#[derive(Debug)]
pub struct Latch {
    health: Health,
    index: usize,
}

impl Latch {
    /// It is ready.
    pub fn ready(&self) {
        self.set(true);
    }

    /// It is not ready, or no longer.
    pub fn not_ready(&self) {
        self.set(false);
    }

    fn set(&self, ready: bool) {
        self.health.0.send_if_modified(|state| {
            let (_, was) = &mut state.latches[self.index];
            std::mem::replace(was, ready) != ready
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latch_counts_and_the_drain_outweighs_them() {
        let health = Health::new();
        assert!(health.is_serving());
        let (database, cache) = (health.latch("database"), health.latch("cache"));
        database.ready();
        assert_eq!((health.is_serving(), health.waiting_for()), (false, vec!["cache"]));
        cache.ready();
        assert!(health.is_serving());
        database.not_ready();
        assert!(!health.is_serving());
        database.ready();
        health.drain();
        cache.ready();
        assert!(!health.is_serving());
    }
}
