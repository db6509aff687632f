//! The three-state breaker against an obviously right one: all calls in a `Vec`, no atomics.
#![cfg(not(seawall_loom))]

use std::time::{Duration, Instant};

use proptest::prelude::*;
use seawall_breaker::{Breaker, Config, Kind, Permit, State, ThreeStateConfig};
use seawall_classify::Outcome;

#[derive(Debug, Clone)]
enum Step {
    Advance(u64),
    Admit(f64),
    Answering(usize),
    Record(usize, Outcome, u64),
    Reset,
}

/// A call that the model has let through.
#[derive(Debug, Clone, Copy)]
struct Call {
    id: usize,
    stretch: usize,
    is_probe: bool,
    random: f64,
}

#[derive(Debug)]
enum Phase {
    Closed { since_ns: Option<u64> },
    Open { until_ns: u64 },
    HalfOpen { under_way: Vec<(usize, bool)>, good: u32, bad: u32, slow: u32, last_ns: u64 },
}

#[derive(Debug)]
struct Model {
    config: ThreeStateConfig,
    /// Ticks of the calls since the breaker last closed, whether they failed, whether they were slow.
    ended: Vec<(u64, bool, bool)>,
    in_a_row: u32,
    openings: u32,
    stretch: usize,
    calls: usize,
    phase: Phase,
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap()
}

impl Model {
    fn new(config: ThreeStateConfig) -> Self {
        let phase = Phase::Closed { since_ns: None };
        Self { config, ended: Vec::new(), in_a_row: 0, openings: 0, stretch: 0, calls: 0, phase }
    }

    /// Calls, failures and slow calls of the window.
    fn counts(&self, now_ns: u64) -> [u64; 3] {
        let width_ns = ns(self.config.window) / self.config.buckets as u64;
        let oldest = (now_ns / width_ns + 1).saturating_sub(self.config.buckets as u64);
        let counted: Vec<_> = self.ended.iter().filter(|call| call.0 >= oldest).collect();
        let count = |of: &dyn Fn(&(u64, bool, bool)) -> bool| counted.iter().filter(|call| of(call)).count() as u64;
        [count(&|_| true), count(&|call| call.1), count(&|call| call.2)]
    }

    fn is_bad(&self, calls: u64, failures: u64, slow: u64) -> bool {
        let rate = |n: u64| n as f64 / calls as f64;
        rate(failures) >= self.config.failure_rate || rate(slow) >= self.config.slow_call_rate
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.stretch += 1;
    }

    fn close(&mut self, since_ns: Option<u64>) {
        self.ended.clear();
        self.in_a_row = 0;
        self.enter(Phase::Closed { since_ns });
    }

    fn open(&mut self, now_ns: u64, random: f64) {
        let is_first = match self.phase {
            Phase::Closed { since_ns: None } => true,
            Phase::Closed { since_ns: Some(since_ns) } => now_ns - since_ns >= ns(self.config.window),
            _ => false,
        };
        self.openings = if is_first { 1 } else { self.openings + 1 };
        let mut open_time = self.config.open_time;
        for _ in 1..self.openings {
            open_time = (open_time * 2).min(self.config.open_time_max);
        }
        let open_time = open_time.mul_f64(1.0 - self.config.jitter * random);
        self.enter(Phase::Open { until_ns: now_ns + ns(open_time) });
    }

    /// The call, or how long the breaker says to wait.
    fn admit(&mut self, now_ns: u64, random: f64) -> Result<Call, Option<u64>> {
        if let Phase::Open { until_ns } = self.phase
            && now_ns >= until_ns
        {
            self.enter(Phase::HalfOpen { under_way: Vec::new(), good: 0, bad: 0, slow: 0, last_ns: now_ns });
        }
        if let Phase::HalfOpen { under_way, good, bad, slow, last_ns } = &mut self.phase {
            if under_way.len() + (*good + *bad) as usize >= self.config.probes as usize {
                if now_ns - *last_ns < ns(self.config.probe_timeout) {
                    return Err(None);
                }
                let unanswered = under_way.iter().filter(|probe| !probe.1).count() as u64;
                let (bad, slow) = (u64::from(*bad) + unanswered, u64::from(*slow));
                if self.is_bad(u64::from(self.config.probes), bad, slow) {
                    self.open(now_ns, random);
                } else {
                    self.close(Some(now_ns));
                }
            } else {
                under_way.push((self.calls, false));
                *last_ns = now_ns;
            }
        }
        if let Phase::Open { until_ns } = self.phase {
            return Err(Some(until_ns - now_ns));
        }
        self.calls += 1;
        let is_probe = matches!(self.phase, Phase::HalfOpen { .. });
        Ok(Call { id: self.calls - 1, stretch: self.stretch, is_probe, random })
    }

    fn answering(&mut self, call: Call) {
        if let Phase::HalfOpen { under_way, .. } = &mut self.phase {
            under_way.iter_mut().filter(|probe| probe.0 == call.id).for_each(|probe| probe.1 = true);
        }
    }

    fn record(&mut self, now_ns: u64, call: Call, outcome: Outcome, elapsed: Duration) {
        if call.stretch != self.stretch {
            return;
        }
        let is_slow = self.config.slow_call.is_some_and(|slow| elapsed >= slow);
        let is_failure = outcome.is_failure();
        if let Phase::HalfOpen { under_way, good, bad, slow, .. } = &mut self.phase {
            assert!(call.is_probe);
            under_way.retain(|probe| probe.0 != call.id);
            if outcome == Outcome::Cancelled {
                return;
            }
            *bad += u32::from(is_failure);
            *good += u32::from(!is_failure);
            *slow += u32::from(is_slow);
            let (good, bad, slow) = (*good, *bad, *slow);
            if self.is_bad(self.config.probes.into(), bad.into(), slow.into()) {
                self.open(now_ns, call.random);
            } else if good + bad == self.config.probes {
                self.close(Some(now_ns));
            }
        } else if is_failure || outcome == Outcome::Success {
            let width_ns = ns(self.config.window) / self.config.buckets as u64;
            self.ended.push((now_ns / width_ns, is_failure, is_slow));
            self.in_a_row = if is_failure { self.in_a_row + 1 } else { 0 };
            let [calls, failures, slow] = self.counts(now_ns);
            let has_row = self.config.consecutive_failures.is_some_and(|limit| self.in_a_row >= limit);
            let is_bad = calls >= self.config.calls_min.into() && self.is_bad(calls, failures, slow);
            if has_row || is_bad {
                self.open(now_ns, call.random);
            }
        }
    }
}

fn config() -> impl Strategy<Value = ThreeStateConfig> {
    let rate = prop_oneof![Just(0.3), Just(0.5), Just(1.0)];
    let limits = (1u32..8, rate.clone(), rate, prop::option::of(1u32..5), prop::option::of(40u64..60));
    (limits, 1u32..5, 1usize..6, prop_oneof![Just(0.0), Just(0.2)]).prop_map(|(limits, probes, buckets, jitter)| {
        let (calls_min, failure_rate, slow_call_rate, consecutive_failures, slow_ms) = limits;
        ThreeStateConfig {
            window: Duration::from_millis(1_200),
            buckets,
            calls_min,
            failure_rate,
            slow_call: slow_ms.map(Duration::from_millis),
            slow_call_rate,
            consecutive_failures,
            open_time: Duration::from_millis(300),
            open_time_max: Duration::from_secs(1),
            jitter,
            probes,
            probe_timeout: Duration::from_millis(500),
        }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Success),
        4 => Just(Outcome::Failure),
        1 => Just(Outcome::Retryable),
        1 => Just(Outcome::CallersFault),
        1 => Just(Outcome::Cancelled),
    ];
    prop_oneof![
        20 => prop_oneof![0u64..50, 200u64..600].prop_map(Step::Advance),
        40 => (0.0..1.0).prop_map(Step::Admit),
        8 => (0usize..20).prop_map(Step::Answering),
        40 => (0usize..20, outcome, 0u64..100).prop_map(|(i, outcome, ms)| Step::Record(i, outcome, ms)),
        1 => Just(Step::Reset),
    ]
}

fn check(breaker: &Breaker, model: &Model, now: Instant, now_ns: u64) -> Result<(), TestCaseError> {
    let snapshot = breaker.snapshot(now);
    let (state, probes, open_ns) = match &model.phase {
        Phase::Closed { .. } => (State::Closed, 0, 0),
        Phase::Open { until_ns } => (State::Open, 0, until_ns.saturating_sub(now_ns)),
        Phase::HalfOpen { under_way, .. } => (State::HalfOpen, under_way.len() as u32, 0),
    };
    prop_assert_eq!(snapshot.state, state);
    let three = snapshot.three_state.unwrap();
    prop_assert_eq!([snapshot.calls, snapshot.failures, three.slow_calls], model.counts(now_ns));
    prop_assert_eq!((three.openings, three.consecutive_failures), (model.openings, model.in_a_row));
    prop_assert_eq!((three.probes_in_flight, three.open_remaining_ms), (probes, open_ns / 1_000_000));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn admissions_transitions_and_numbers_are_those_of_the_model(
        config in config(), steps in prop::collection::vec(step(), 1..250)
    ) {
        let origin = Instant::now();
        let kind = Kind::ThreeState(config.clone());
        let breaker = Breaker::try_new("peer", "Method", Config { kind }, origin).unwrap();
        let mut model = Model::new(config);
        let mut under_way: Vec<(Permit, Call)> = Vec::new();
        let mut now = origin;
        for step in steps {
            let now_ns = ns(now - origin);
            match step {
                Step::Advance(ms) => now += Duration::from_millis(ms),
                Step::Admit(random) => {
                    let is_surely_refused = breaker.is_open(now);
                    let got = breaker.admit(now, random);
                    let expected = model.admit(now_ns, random);
                    prop_assert_eq!(got.as_ref().map(|_| ()).map_err(|refusal| refusal.retry_after.map(ns)),
                        expected.map(|_| ()));
                    prop_assert!(!is_surely_refused || got.is_err(), "it was open and let a call through");
                    if let (Ok(permit), Ok(call)) = (got, expected) {
                        under_way.push((permit, call));
                    }
                }
                Step::Answering(i) if i < under_way.len() => {
                    breaker.answering(&mut under_way[i].0);
                    model.answering(under_way[i].1);
                }
                Step::Record(i, outcome, elapsed_ms) if i < under_way.len() => {
                    let (permit, call) = under_way.swap_remove(i);
                    let elapsed = Duration::from_millis(elapsed_ms);
                    breaker.record(now, permit, outcome, elapsed);
                    model.record(now_ns, call, outcome, elapsed);
                }
                Step::Reset => {
                    breaker.reset();
                    model.openings = 0;
                    model.close(None);
                }
                Step::Answering(_) | Step::Record(..) => {}
            }
            check(&breaker, &model, now, ns(now - origin))?;
        }
    }
}
