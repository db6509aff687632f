//! The breaker: either kind, with its name, its operator and its voice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use seawall_classify::Outcome;
use seawall_provenance::{CommandError, Live};
use seawall_window::Window;
use serde::Serialize;

use crate::adaptive::Adaptive;
use crate::decision::{Edge, Probe};
use crate::snapshot::Snapshot;
use crate::sync::{AtomicU8, AtomicU64, Ordering};
use crate::three_state::ThreeState;
use crate::{Config, ConfigError, Kind, Permit, Reason, Refusal, State};

/// A circuit breaker in front of one method of one peer.
///
/// It is told the time and given randomness, so that it behaves the same under any clock. What it
/// does on its own is to tell its transitions: each is one line in the log and a count in
/// `seawall.decisions`.
///
/// A call through a breaker whose peer is well costs two or three atomic loads when it is let through,
/// and one counter of the window when it has ended. No call allocates.
#[derive(Debug)]
pub struct Breaker {
    peer: Arc<str>,
    method: Arc<str>,
    endpoint: Option<Arc<str>>,
    labels: [KeyValue; 2],
    config: Config,
    policy: Policy,
    forced: AtomicU8,
    refused: AtomicU64,
    transitions: AtomicU64,
}

#[derive(Debug)]
enum Policy {
    Adaptive(Adaptive),
    ThreeState(ThreeState),
    Off,
}

/// What an operator has a breaker do, until it is [`reset`](Breaker::reset).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Forced {
    /// Refuses all calls.
    Open,
    /// Refuses none, and counts them.
    Closed,
    /// Refuses none, and counts none.
    Disabled,
}

impl Forced {
    /// The word for it: the command of the admin page.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Disabled => "disabled",
        }
    }
}

impl Breaker {
    /// A breaker for the calls of `method` to `peer`, which are what its metrics, log lines and state
    /// name. Time before `origin` counts as `origin`.
    ///
    /// # Errors
    /// If the configuration has mistakes; all of them are named.
    pub fn try_new(
        peer: impl Into<Arc<str>>,
        method: impl Into<Arc<str>>,
        config: Config,
        origin: Instant,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let policy = match &config.kind {
            Kind::Adaptive(adaptive) => {
                Policy::Adaptive(Adaptive::new(adaptive, window(adaptive.window, adaptive.buckets, origin)?, origin))
            }
            Kind::ThreeState(three) => {
                Policy::ThreeState(ThreeState::new(three, window(three.window, three.buckets, origin)?, origin))
            }
            Kind::Off => Policy::Off,
        };
        let (peer, method) = (peer.into(), method.into());
        let labels = [KeyValue::new("peer", Arc::clone(&peer)), KeyValue::new("method", Arc::clone(&method))];
        let (forced, refused, transitions) = (AtomicU8::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self { peer, method, endpoint: None, labels, config, policy, forced, refused, transitions })
    }

    /// The same for one endpoint of the peer, which its log lines, events and state name. Its metrics do
    /// not: endpoints come and go, and each would stay in them for good.
    #[must_use]
    pub fn at_endpoint(self, endpoint: impl Into<Arc<str>>) -> Self {
        Self { endpoint: Some(endpoint.into()), ..self }
    }

    /// Decides about a call. `random` is uniform in [0, 1).
    ///
    /// # Errors
    /// With the reason, if the call is refused.
    pub fn admit(&self, now: Instant, random: f64) -> Result<Permit, Refusal> {
        let (decision, edge) = match (self.forced(), &self.policy) {
            (Some(Forced::Open), _) => (Err(Refusal { reason: Reason::ForcedOpen, retry_after: None }), None),
            (Some(Forced::Closed | Forced::Disabled), _) | (None, Policy::Off) => (Ok(Permit::uncounted()), None),
            (None, Policy::ThreeState(policy)) => policy.admit(now, random),
            (None, Policy::Adaptive(policy)) => {
                let (decision, edge) = policy.admit(now, random);
                (decision.map(|()| Permit::counted(0, Probe::No, random)), edge)
            }
        };
        self.tell(edge);
        if decision.is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        decision
    }

    /// Notes that the answer to a call has begun, which for a stream may be long before its end.
    pub fn answering(&self, permit: &mut Permit) {
        if let Policy::ThreeState(policy) = &self.policy {
            policy.answering(permit);
        }
    }

    /// Notes the end of a call. `elapsed` is the time until its answer began, or until its end if it
    /// had none: how long a stream goes on says nothing about its peer.
    pub fn record(&self, now: Instant, permit: Permit, outcome: Outcome, elapsed: Duration) {
        let edge = match (self.forced(), &self.policy) {
            (Some(Forced::Open | Forced::Disabled), _) | (_, Policy::Off) => None,
            (Some(Forced::Closed), Policy::Adaptive(policy)) => {
                policy.record(now, outcome);
                None
            }
            (Some(Forced::Closed), Policy::ThreeState(policy)) => {
                policy.count(now, outcome, elapsed);
                None
            }
            (None, _) if !permit.is_counted => None,
            (None, Policy::Adaptive(policy)) => {
                policy.record(now, outcome);
                None
            }
            (None, Policy::ThreeState(policy)) => policy.record(now, &permit, outcome, elapsed),
        };
        self.tell(edge);
    }

    /// Whether a call would surely be refused now. It takes no place of a probe, so that a load
    /// balancer can ask before it picks; a throttle refuses none surely.
    pub fn is_open(&self, now: Instant) -> bool {
        match (self.forced(), &self.policy) {
            (Some(forced), _) => forced == Forced::Open,
            (None, Policy::ThreeState(policy)) => policy.is_open(now),
            (None, Policy::Adaptive(_) | Policy::Off) => false,
        }
    }

    /// Has the breaker do something whatever its peer does, until it is [`reset`](Self::reset). What
    /// it knew is forgotten.
    pub fn force(&self, forced: Forced) {
        self.forget();
        self.forced.store(forced as u8 + 1, Ordering::Relaxed);
        let (peer, method, endpoint) = (&*self.peer, &*self.method, self.endpoint());
        tracing::warn!(peer, method, endpoint, forced = forced.as_str(), "breaker forced");
        seawall_provenance::counted("breaker.forced", &self.labels);
    }

    /// Lets the breaker do its work again, closed and with nothing counted.
    pub fn reset(&self) {
        self.forget();
        self.forced.store(0, Ordering::Relaxed);
        tracing::warn!(peer = &*self.peer, method = &*self.method, endpoint = self.endpoint(), "breaker reset");
        seawall_provenance::counted("breaker.reset", &self.labels);
    }

    /// Does from now on what an operator had `before` do, in whose place it is.
    pub fn take_over(&self, before: &Self) {
        if let Some(forced) = before.forced() {
            self.force(forced);
        }
    }

    /// What an operator has it do, if anything.
    pub fn forced(&self) -> Option<Forced> {
        match self.forced.load(Ordering::Relaxed) {
            1 => Some(Forced::Open),
            2 => Some(Forced::Closed),
            3 => Some(Forced::Disabled),
            _ => None,
        }
    }

    /// Its settings: a breaker is built anew only if they have changed.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The labels `peer` and `method`, as its metrics have them.
    pub fn labels(&self) -> &[KeyValue] {
        &self.labels
    }

    pub(crate) fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// What it knows.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let common = Snapshot {
            peer: self.peer.to_string(),
            method: self.method.to_string(),
            endpoint: self.endpoint().map(str::to_owned),
            state: State::Off,
            forced: self.forced(),
            calls: 0,
            failures: 0,
            refused_total: self.refused.load(Ordering::Relaxed),
            transitions_total: self.transitions.load(Ordering::Relaxed),
            adaptive: None,
            three_state: None,
        };
        match &self.policy {
            Policy::Off => common,
            Policy::Adaptive(policy) => common.adaptive(policy, now),
            Policy::ThreeState(policy) => common.three_state(policy, now),
        }
    }

    fn forget(&self) {
        match &self.policy {
            Policy::Adaptive(policy) => policy.reset(),
            Policy::ThreeState(policy) => policy.reset(),
            Policy::Off => {}
        }
    }

    fn tell(&self, edge: Option<Edge>) {
        if let Some(edge) = edge {
            self.transitions.fetch_add(1, Ordering::Relaxed);
            edge.tell(&self.peer, &self.method, self.endpoint(), &self.labels);
        }
    }
}

fn window(length: Duration, buckets: usize, origin: Instant) -> Result<Window<3>, ConfigError> {
    let width = length / u32::try_from(buckets).unwrap_or(u32::MAX);
    Window::try_new(width, buckets, origin).map_err(|error| ConfigError::one(error.to_string()))
}

/// Shown on the admin page, and commanded from it.
impl Live for Breaker {
    fn state(&self) -> serde_json::Value {
        let now = tokio::time::Instant::now().into_std();
        serde_json::to_value(self.snapshot(now)).unwrap_or_default()
    }

    fn command(&self, command: &str) -> Result<(), CommandError> {
        match command {
            "open" => self.force(Forced::Open),
            "closed" => self.force(Forced::Closed),
            "disabled" => self.force(Forced::Disabled),
            "reset" => self.reset(),
            _ => return Err(CommandError::Unknown { allowed: "open, closed, disabled, reset" }),
        }
        Ok(())
    }
}
