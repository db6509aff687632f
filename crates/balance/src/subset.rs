//! Deterministic subsetting: which of many endpoints a client uses, so that neither has too many
//! connections and each endpoint has about as many clients as any other.
//!
//! After "Site Reliability Engineering", chapter 20, with two changes, because that one gives all
//! clients other endpoints when the number of endpoints passes a multiple of the subset's size. The
//! order of a round comes from hashes rather than a shuffle, so an endpoint that comes or goes leaves
//! the others in order; and a round is always 16 clients, whose subsets begin at even distances
//! around that order. So a change of one endpoint changes each client's subset by at most two.

use crate::hash::hash;

/// Clients that share an order of the endpoints. Each round has another order, so that what one
/// endpoint leaves is shared by different others.
const ROUND: u64 = 16;

/// Which endpoints a client uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subset {
    /// Which client this is. The clients of a service are to be numbered from 0 without gaps, as are
    /// the replicas of a Kubernetes StatefulSet; random numbers spread the endpoints less evenly.
    pub client_id: u64,
    /// How many endpoints the client uses.
    pub size: usize,
}

impl Subset {
    /// The part of `endpoints` for this client: all if there are no more than `size`. Their order
    /// does not matter, their `name`s do.
    pub fn of<T>(self, mut endpoints: Vec<T>, name: impl Fn(&T) -> String) -> Vec<T> {
        let len = endpoints.len();
        if len <= self.size {
            return endpoints;
        }
        let round = self.client_id / ROUND;
        endpoints.sort_by_cached_key(|endpoint| {
            let name = name(endpoint);
            (hash(round, name.as_bytes()), name)
        });
        // The bits reversed: any first few of the round's clients are at even distances as well.
        let turn = (self.client_id % ROUND).reverse_bits() >> (u64::BITS - ROUND.ilog2());
        let start = (u128::from(turn) * len as u128 / u128::from(ROUND)) as usize;
        endpoints.rotate_left(start);
        endpoints.truncate(self.size);
        endpoints
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests;
