//! The throttle against an obviously right one: all calls in a `Vec`, the formulas as go-zero has them.
#![cfg(not(seawall_loom))]

use std::time::{Duration, Instant};

use proptest::prelude::*;
use seawall_breaker::{AdaptiveConfig, Breaker, Config, Kind, Permit, State};
use seawall_classify::Outcome;

#[derive(Debug, Clone)]
enum Step {
    Advance(u64),
    Admit(f64),
    Record(Outcome),
    /// Many calls with one outcome, as a peer has when it is well or down.
    Run(usize, Outcome),
    Reset,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Event {
    Accept,
    Failure,
    Drop,
}

#[derive(Debug)]
struct Model {
    config: AdaptiveConfig,
    events: Vec<(u64, Event)>,
    last_pass_ms: Option<u64>,
    last_drop_ms: Option<u64>,
    is_throttling: bool,
}

impl Model {
    fn tick(&self, now_ms: u64) -> u64 {
        now_ms / (self.config.window.as_millis() as u64 / self.config.buckets as u64)
    }

    /// The chance of a drop, and whether there could be one.
    fn chance(&self, now_ms: u64) -> (f64, bool) {
        let tick = self.tick(now_ms);
        let (mut accepts, mut total, mut failing, mut working) = (0u64, 0u64, 0u64, 0u64);
        // Oldest first, as go-zero does it.
        for age in (0..self.config.buckets as u64).rev() {
            let count = |event| self.events.iter().filter(|(t, e)| t + age == tick && *e == event).count() as u64;
            let (success, failure, drop) = (count(Event::Accept), count(Event::Failure), count(Event::Drop));
            accepts += success;
            total += success + failure + drop;
            if failure > 0 {
                working = 0;
            } else if success > 0 {
                working += 1;
            }
            if success > 0 {
                failing = 0;
            } else if failure > 0 {
                failing += 1;
            }
        }
        let buckets = self.config.buckets as f64;
        let AdaptiveConfig { k, k_min, protection, .. } = self.config;
        let w = (k - (k - k_min) * failing as f64 / buckets).max(k_min);
        let over = total as f64 - f64::from(protection) - w * accepts as f64;
        if over <= 0.0 {
            return (0.0, false);
        }
        (over / (total as f64 + 1.0) * ((buckets - working as f64) / buckets), true)
    }

    fn admit(&mut self, now_ms: u64, random: f64) -> Result<(), u64> {
        let (chance, is_over) = self.chance(now_ms);
        if !is_over {
            if self.last_drop_ms.is_none_or(|last_ms| now_ms - last_ms >= 1_000) {
                self.is_throttling = false;
            }
            return Ok(());
        }
        let force_ms = self.config.force_pass_after.as_millis() as u64;
        if random >= chance || self.last_pass_ms.is_some_and(|last_ms| now_ms - last_ms > force_ms) {
            self.last_pass_ms = Some(now_ms);
            return Ok(());
        }
        self.events.push((self.tick(now_ms), Event::Drop));
        self.is_throttling = true;
        self.last_drop_ms = Some(now_ms);
        let last_ms = *self.last_pass_ms.get_or_insert(now_ms);
        Err(force_ms - (now_ms - last_ms))
    }

    fn record(&mut self, now_ms: u64, outcome: Outcome) {
        let event = match outcome {
            Outcome::Success | Outcome::CallersFault => Event::Accept,
            Outcome::Failure | Outcome::Retryable => Event::Failure,
            Outcome::Cancelled => return,
        };
        self.events.push((self.tick(now_ms), event));
    }
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        5 => Just(Outcome::Success),
        5 => Just(Outcome::Failure),
        1 => Just(Outcome::Retryable),
        1 => Just(Outcome::CallersFault),
        1 => Just(Outcome::Cancelled),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => prop_oneof![8 => 0u64..100, 2 => 400u64..1_200, 1 => 2_000u64..4_000].prop_map(Step::Advance),
        40 => (0.0..1.0).prop_map(Step::Admit),
        20 => outcome().prop_map(Step::Record),
        4 => (1usize..20, outcome()).prop_map(|(n, outcome)| Step::Run(n, outcome)),
        1 => Just(Step::Reset),
    ]
}

fn config() -> impl Strategy<Value = AdaptiveConfig> {
    (1usize..13, 0u32..6, prop_oneof![Just((1.5, 1.1)), Just((2.0, 2.0)), Just((1.2, 1.0))]).prop_map(
        |(buckets, protection, (k, k_min))| AdaptiveConfig {
            window: Duration::from_millis(200) * buckets as u32,
            buckets,
            k,
            k_min,
            protection,
            force_pass_after: Duration::from_millis(700),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn chances_admissions_and_edges_are_those_of_the_model(
        config in config(), steps in prop::collection::vec(step(), 1..250)
    ) {
        let origin = Instant::now();
        let kind = Kind::Adaptive(config.clone());
        let breaker = Breaker::try_new("peer", "Method", Config { kind }, origin).unwrap();
        let mut model =
            Model { config, events: Vec::new(), last_pass_ms: None, last_drop_ms: None, is_throttling: false };
        let mut under_way: Vec<Permit> = Vec::new();
        let (mut now_ms, mut edges) = (0u64, 0);
        for step in steps {
            let now = origin + Duration::from_millis(now_ms);
            let was_throttling = model.is_throttling;
            match step {
                Step::Advance(ms) => now_ms += ms,
                Step::Admit(random) => {
                    // Rounding may differ in the last bit.
                    prop_assume!((model.chance(now_ms).0 - random).abs() > 1e-9);
                    prop_assert!(!breaker.is_open(now));
                    let got = breaker.admit(now, random);
                    let expected = model.admit(now_ms, random).map_err(Duration::from_millis);
                    prop_assert_eq!(got.as_ref().map(|_| ()).map_err(|refusal| refusal.retry_after),
                        expected.map_err(Some));
                    under_way.extend(got.ok());
                    edges += u64::from(was_throttling != model.is_throttling);
                }
                Step::Record(outcome) => {
                    if let Some(permit) = under_way.pop() {
                        breaker.record(now, permit, outcome, Duration::ZERO);
                        model.record(now_ms, outcome);
                    }
                }
                Step::Run(n, outcome) => {
                    for _ in 0..n {
                        let (got, expected) = (breaker.admit(now, 0.999_999), model.admit(now_ms, 0.999_999));
                        prop_assert_eq!((got.is_ok(), expected.is_ok()), (true, true));
                        breaker.record(now, got.unwrap(), outcome, Duration::ZERO);
                        model.record(now_ms, outcome);
                    }
                    edges += u64::from(was_throttling != model.is_throttling);
                }
                Step::Reset => {
                    breaker.reset();
                    let config = model.config.clone();
                    model =
                        Model { config, events: Vec::new(), last_pass_ms: None, last_drop_ms: None, is_throttling: false };
                }
            }
            let snapshot = breaker.snapshot(origin + Duration::from_millis(now_ms));
            let chance = snapshot.adaptive.unwrap().drop_probability;
            prop_assert!((chance - model.chance(now_ms).0).abs() < 1e-9, "{} {:?}", chance, model);
            prop_assert_eq!(snapshot.state, if model.is_throttling { State::Throttling } else { State::Passing });
            prop_assert_eq!(snapshot.transitions_total, edges);
        }
    }
}
