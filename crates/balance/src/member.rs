//! An endpoint of a set, what is known of it, and the calls that it is given.

use std::sync::Arc;
use std::time::{Duration, Instant};

use seawall_classify::{Classifier, End, Observer, Outcome};
use tokio::sync::Notify;
use tonic::Code;

use crate::discover::Address;
use crate::load::Load;
use crate::outlier::{Outlier, Tracker};
use crate::ring::{Ring, WEIGHT_MAX, capacity};
use crate::sync::{AtomicBool, Ordering};
use crate::{Endpoint, p2c};

/// The most attempts of a call that are told apart, but for the first (gRFC A6: five in all).
const ATTEMPTS_MAX: usize = 4;

/// What is known of an endpoint. It outlives the endpoint's place in the set by the calls that it has.
#[derive(Debug)]
pub(crate) struct Vitals {
    pub(crate) load: Load,
    pub(crate) tracker: Tracker,
    is_serving: AtomicBool,
}

impl Vitals {
    pub(crate) fn new(decay: Duration, now: Instant, is_serving: bool) -> Self {
        Self { load: Load::new(decay, now), tracker: Tracker::default(), is_serving: AtomicBool::new(is_serving) }
    }

    /// What its health service says; true if it is not asked.
    pub(crate) fn is_serving(&self) -> bool {
        self.is_serving.load(Ordering::Relaxed)
    }

    /// Returns what it said before.
    pub(crate) fn set_serving(&self, is_serving: bool) -> bool {
        self.is_serving.swap(is_serving, Ordering::Relaxed)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Member<S> {
    pub(crate) address: Address,
    pub(crate) service: S,
    pub(crate) vitals: Arc<Vitals>,
}

impl<S: Endpoint> Member<S> {
    pub(crate) fn is_available(&self, path: &str) -> bool {
        !self.vitals.tracker.is_ejected() && self.vitals.is_serving() && self.service.is_available(path)
    }

    fn load(&self, now: Instant) -> f64 {
        self.vitals.load.value(now) / f64::from(self.address.weight.clamp(1, WEIGHT_MAX))
    }
}

/// The endpoints of one moment.
#[derive(Debug)]
pub(crate) struct Set<S> {
    members: Box<[Member<S>]>,
    ring: Option<Ring>,
}

impl<S: Endpoint> Set<S> {
    pub(crate) fn new(members: Vec<Member<S>>, has_ring: bool) -> Self {
        let ring = has_ring.then(|| {
            let names: Vec<String> = members.iter().map(|member| member.address.to_string()).collect();
            Ring::new(names.iter().zip(&members).map(|(name, member)| (name.as_str(), member.address.weight)))
        });
        Self { members: members.into(), ring }
    }

    pub(crate) fn members(&self) -> &[Member<S>] {
        &self.members
    }

    pub(crate) fn least_loaded(&self, now: Instant, path: &str, force_after: Duration) -> Option<&Member<S>> {
        let picked = p2c::pick(
            &self.members,
            |member| member.is_available(path),
            |member| member.load(now),
            // Only against one that has calls. Where they are rarer than that, both are due, and it would
            // be the worse one that got them all.
            |lower, higher| {
                !lower.vitals.load.is_forgotten(now, force_after) && higher.vitals.load.claim_forced(now, force_after)
            },
            fastrand::f64,
        );
        self.members.get(picked?)
    }

    /// `None` if no endpoint is available, or the set has no ring. The first endpoints of the key are left
    /// out for as many attempts as went before: what they went to has failed, or takes long.
    pub(crate) fn by_key(&self, path: &str, key: &[u8], load_factor: f64, previous: usize) -> Option<&Member<S>> {
        let ring = self.ring.as_ref()?;
        let available = self.members.iter().filter(|member| member.is_available(path));
        let (count, in_flight) =
            available.fold((0, 0), |(n, sum), member| (n + 1, sum + member.vitals.load.in_flight()));
        let capacity = capacity(in_flight, count, load_factor);
        let is_available = |index: usize| self.members[index].is_available(path);
        let mut left_out = [usize::MAX; ATTEMPTS_MAX];
        for nth in 0..previous.min(ATTEMPTS_MAX) {
            let Some(first) = ring.pick(key, |index| !left_out.contains(&index) && is_available(index)) else { break };
            left_out[nth] = first;
        }
        let is_open = |index: usize| !left_out.contains(&index) && is_available(index);
        let picked = ring
            .pick(key, |index| self.members[index].vitals.load.in_flight() < capacity && is_open(index))
            // Only if others took what was left in the meantime.
            .or_else(|| ring.pick(key, is_open))
            // There are no more endpoints than attempts.
            .or_else(|| ring.pick(key, is_available))?;
        self.members.get(picked)
    }
}

/// What the calls of all endpoints share.
#[derive(Debug)]
pub(crate) struct Judge {
    pub(crate) outlier: Option<Outlier>,
    /// An endpoint has failed so often in a row that it is to be looked at now.
    pub(crate) failing: Notify,
}

/// A call that an endpoint was given. It is in flight there until this is dropped.
#[derive(Debug)]
pub struct Ticket {
    vitals: Arc<Vitals>,
    judge: Arc<Judge>,
    classifier: Classifier,
    deadline: Option<Instant>,
    started: Instant,
    has_answered: bool,
}

impl Ticket {
    pub(crate) fn new(
        vitals: Arc<Vitals>,
        judge: Arc<Judge>,
        classifier: Classifier,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Self {
        vitals.load.picked(now);
        Self { vitals, judge, classifier, deadline, started: now, has_answered: false }
    }

    /// What the end says about the endpoint.
    ///
    /// A call that is dropped after its deadline, and before any answer, was late: a layer outside
    /// that holds it to its deadline has dropped it, and of an endpoint that swallows all calls there
    /// is no other sign. One that is dropped earlier was given up for the caller's reasons; and who has begun to
    /// answer swallows nothing.
    fn outcome(&self, end: End, now: Instant) -> Outcome {
        match end {
            End::Code(code) => self.classifier.classify(code),
            End::Dropped if !self.has_answered && self.deadline.is_some_and(|deadline| now >= deadline) => {
                self.classifier.classify(Code::DeadlineExceeded)
            }
            End::Refused(_) | End::Dropped => Outcome::Cancelled,
        }
    }
}

impl Observer for Ticket {
    /// The time to the first headers is what the endpoint takes: how long a stream lasts is up to
    /// what it carries.
    fn headers(&mut self) {
        self.has_answered = true;
        let now = now();
        self.vitals.load.ewma().observe(now, now.saturating_duration_since(self.started));
    }

    fn end(self, end: End) {
        let now = now();
        let outcome = self.outcome(end, now);
        let took = now.saturating_duration_since(self.started);
        let ewma = self.vitals.load.ewma();
        if outcome == Outcome::Cancelled {
            // Who gives calls up when they take long, as a hedge does, leaves no other sign that they do.
            if end == End::Dropped && !self.has_answered {
                ewma.observe_given_up(now, took);
            }
            return;
        }
        let is_success = !outcome.is_failure();
        if !self.has_answered {
            if is_success { ewma.observe(now, took) } else { ewma.observe_failure(now, took) }
        }
        if let Some(outlier) = &self.judge.outlier
            && outlier.record(&self.vitals.tracker, is_success)
        {
            self.judge.failing.notify_one();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.vitals.load.finished();
    }
}

/// The clock of whoever holds it around a call, or tokio's, which tests and simulations pause.
pub(crate) fn now() -> Instant {
    seawall_clock::now().into_std()
}
