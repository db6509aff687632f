//! The task behind a balancer: follows discovery, sweeps for outliers, watches health.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::task::AbortHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::Endpoint;
use crate::balance::Shared;
use crate::config::{Config, Pick};
use crate::discover::{Address, Discover};
use crate::member::{Member, Set, Vitals, now};
use crate::outlier::{Action, Outlier, Tracker, Verdict};
use crate::tell::{tell_changed, tell_verdict};

/// How many endpoints a set has at most; what is more is left out and logged. Subsetting is the way
/// to have more.
const ENDPOINTS_MAX: usize = 1_000;

/// Follows the health of an endpoint until it is dropped.
pub(crate) type Watch<S> = Box<dyn Fn(S, Address, Arc<Vitals>) -> BoxFuture<'static, ()> + Send + Sync>;

pub(crate) struct Task<S, M> {
    shared: Arc<Shared<S>>,
    config: Config,
    endpoint: M,
    watch: Option<Watch<S>>,
    /// By the address with the weight of 1, because another weight makes no other endpoint.
    kept: HashMap<Address, Kept<S>>,
}

struct Kept<S> {
    member: Member<S>,
    _watch: Option<AbortOnDrop>,
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<S, M> Task<S, M>
where
    S: Endpoint + Send + Sync + 'static,
    M: Fn(&Address) -> S + Send + 'static,
{
    pub(crate) fn new(shared: Arc<Shared<S>>, config: Config, endpoint: M, watch: Option<Watch<S>>) -> Self {
        Self { shared, config, endpoint, watch, kept: HashMap::new() }
    }

    pub(crate) async fn run(mut self, mut discover: impl Discover) {
        let judge = Arc::clone(&self.shared.judge);
        let mut sweeps = self.config.outlier.as_ref().map(|outlier| {
            let mut sweeps = interval_at(Instant::now() + outlier.interval, outlier.interval);
            sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
            sweeps
        });
        let mut has_more = true;
        loop {
            // In order, so that a simulation is the same each time.
            tokio::select! {
                biased;
                () = judge.failing.notified() => {
                    discover.refresh();
                    self.judge(|outlier, trackers| outlier.check_consecutive(now(), trackers));
                }
                () = due(sweeps.as_mut()) => {
                    self.judge(|outlier, trackers| outlier.sweep(now(), trackers, fastrand::f64));
                }
                addresses = discover.next(), if has_more => match addresses {
                    Some(addresses) => self.change(addresses),
                    None => has_more = false,
                },
            }
        }
    }

    fn judge(&self, run: impl FnOnce(&Outlier, &[&Tracker]) -> Vec<Verdict>) {
        let set = self.shared.set.load();
        let (Some(outlier), Some(set)) = (&self.shared.judge.outlier, &*set) else { return };
        let trackers: Vec<&Tracker> = set.members().iter().map(|member| &member.vitals.tracker).collect();
        for verdict in run(outlier, &trackers) {
            let member = &set.members()[verdict.index];
            if verdict.action == Action::Returned {
                // What it took before it was ejected says nothing now: it is tried with one call.
                member.vitals.load.ewma().reset();
            }
            tell_verdict(self.shared.target, &member.address, &verdict);
        }
    }

    /// Puts a new set in place of the old one. Endpoints that stay keep their service and what is
    /// known of them; those that go end with their last call.
    fn change(&mut self, addresses: Vec<Address>) {
        let mut addresses = match self.config.subset {
            Some(subset) => subset.of(addresses, Address::to_string),
            None => addresses,
        };
        let left_out = addresses.len().saturating_sub(ENDPOINTS_MAX);
        addresses.truncate(ENDPOINTS_MAX);
        let mut before = std::mem::take(&mut self.kept);
        let mut members: Vec<Member<S>> = Vec::with_capacity(addresses.len());
        let mut added = 0;
        for address in addresses {
            let key = Address { weight: 1, ..address.clone() };
            if self.kept.contains_key(&key) {
                continue;
            }
            let mut kept = before.remove(&key).unwrap_or_else(|| {
                added += 1;
                self.made(&address)
            });
            kept.member.address = address;
            members.push(kept.member.clone());
            self.kept.insert(key, kept);
        }
        let (endpoints, removed) = (members.len(), before.len());
        let has_ring = matches!(self.config.pick, Pick::Hash { .. });
        self.shared.set.store(Some(Arc::new(Set::new(members, has_ring))));
        self.shared.first.notify_waiters();
        tell_changed(self.shared.target, endpoints, added, removed, left_out);
    }

    fn made(&self, address: &Address) -> Kept<S> {
        let service = (self.endpoint)(address);
        let vitals = Arc::new(Vitals::new(self.config.decay, now(), self.watch.is_none()));
        let watch = self.watch.as_ref().map(|watch| {
            let watching = watch(service.clone(), address.clone(), Arc::clone(&vitals));
            AbortOnDrop(tokio::spawn(watching).abort_handle())
        });
        Kept { member: Member { address: address.clone(), service, vitals }, _watch: watch }
    }
}

async fn due(sweeps: Option<&mut Interval>) {
    match sweeps {
        Some(sweeps) => _ = sweeps.tick().await,
        None => std::future::pending().await,
    }
}
