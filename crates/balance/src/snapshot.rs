//! What a balancer knows now, for people to read.

use std::time::{Duration, Instant};

use seawall_provenance::Live;
use serde::Serialize;
use serde_json::Value;

use crate::balance::Shared;
use crate::member::{Member, now};
use crate::{Balance, Endpoint};

/// The endpoints of a balancer.
#[derive(Debug, Clone, Serialize)]
pub struct Snapshot {
    /// Whether a first set has come.
    pub is_discovered: bool,
    /// The endpoints, in the order of discovery.
    pub endpoints: Vec<EndpointSnapshot>,
}

/// One endpoint.
#[derive(Debug, Clone, Serialize)]
pub struct EndpointSnapshot {
    /// What is dialled.
    pub address: String,
    /// Whether calls go there, all else left aside: neither ejected, nor unhealthy, nor away.
    pub is_available: bool,
    /// What its health service says; true if it is not asked.
    pub is_serving: bool,
    /// How long until it may return from being ejected, in milliseconds; `None` if it is in use.
    pub ejected_for_ms: Option<u64>,
    /// The time to an answer, in milliseconds; `None` if it is not known.
    pub ewma_ms: Option<f64>,
    /// Calls that have not ended.
    pub in_flight: u64,
    /// Calls that it ever had.
    pub picks: u64,
    /// Calls that ever failed.
    pub failures: u64,
}

impl<S: Endpoint, C> Balance<S, C> {
    /// What it knows now.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        self.owner.shared.snapshot(now)
    }
}

impl<S: Endpoint> Shared<S> {
    fn snapshot(&self, now: Instant) -> Snapshot {
        let set = self.set.load();
        let endpoints = set.iter().flat_map(|set| set.members()).map(|member| self.endpoint(member, now));
        Snapshot { is_discovered: set.is_some(), endpoints: endpoints.collect() }
    }

    fn endpoint(&self, member: &Member<S>, now: Instant) -> EndpointSnapshot {
        let (load, tracker) = (&member.vitals.load, &member.vitals.tracker);
        let remaining = self.judge.outlier.as_ref().and_then(|outlier| outlier.remaining(now, tracker));
        EndpointSnapshot {
            address: member.address.to_string(),
            is_available: member.is_available(""),
            is_serving: member.vitals.is_serving(),
            ejected_for_ms: remaining.map(|remaining: Duration| remaining.as_millis() as u64),
            ewma_ms: load.ewma().estimate_us(now).map(|us| us / 1e3),
            in_flight: load.in_flight(),
            picks: load.picks(),
            failures: tracker.failures(),
        }
    }
}

impl<S: Endpoint + Send + Sync> Live for Shared<S> {
    fn state(&self) -> Value {
        serde_json::to_value(self.snapshot(now())).unwrap_or_default()
    }
}
