//! The policies against slow models that keep every event.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use seawall_retry::{
    Allowance, AllowanceConfig, Budget, BudgetConfig, Decision, Ended, HedgeConfig, HedgeDecision, HedgeDelay,
    HedgePolicy, Idempotency, Pushback, RetryConfig, RetryPolicy, Stop, Throttle, ThrottleConfig,
};
use tonic::Code;

const SLICE: Duration = Duration::from_millis(100);

/// The budget as a list of what happened and in which tenth of the ttl.
#[derive(Default)]
struct SlowBudget {
    calls: Vec<u64>,
    retries: Vec<u64>,
    ratio: f64,
    reserve: u64,
}

impl SlowBudget {
    fn left(&self, slice: u64) -> u64 {
        let within = |events: &[u64]| events.iter().filter(|at| **at + 10 > slice).count() as u64;
        let allowed = self.reserve + (within(&self.calls) as f64 * self.ratio + 1e-9) as u64;
        allowed.saturating_sub(within(&self.retries))
    }

    fn withdraw(&mut self, slice: u64) -> bool {
        let is_allowed = self.left(slice) > 0;
        if is_allowed {
            self.retries.push(slice);
        }
        is_allowed
    }
}

proptest! {
    #[test]
    fn the_budget_is_a_share_of_the_calls_of_the_window(
        steps in prop::collection::vec((0u64..3, any::<bool>()), 1..400),
        min_per_second in 0u32..4,
        ratio in 1u32..=10,
    ) {
        let start = Instant::now();
        let ratio = f64::from(ratio) / 10.0;
        let config = BudgetConfig { ttl: 10 * SLICE, ratio, min_per_second };
        let budget = Budget::try_new(&config, start).unwrap();
        let mut model = SlowBudget { ratio, reserve: min_per_second.into(), ..SlowBudget::default() };
        let mut slice = 0;
        for (advance, is_call) in steps {
            slice += advance * advance;
            let now = start + SLICE * slice as u32 + SLICE / 3;
            if is_call {
                budget.deposit(now);
                model.calls.push(slice);
            } else {
                prop_assert_eq!(budget.withdraw(now), model.withdraw(slice));
            }
            prop_assert_eq!(budget.left(now), model.left(slice));
        }
    }

    #[test]
    fn the_throttle_counts_in_thousandths(
        ends in prop::collection::vec(any::<bool>(), 1..300),
        tokens_max in 1u32..20,
        thousandths in 1u32..=1000,
    ) {
        let token_ratio = f64::from(thousandths) / 1000.0;
        let throttle = Throttle::try_new(&ThrottleConfig { tokens_max, token_ratio }).unwrap();
        let mut model = i64::from(tokens_max) * 1000;
        for is_success in ends {
            if is_success {
                throttle.succeeded();
                model = (model + i64::from(thousandths)).min(i64::from(tokens_max) * 1000);
            } else {
                model = (model - 1000).max(0);
                prop_assert_eq!(throttle.failed(), model * 2 > i64::from(tokens_max) * 1000);
            }
            prop_assert_eq!(throttle.allows(), model * 2 > i64::from(tokens_max) * 1000);
            prop_assert_eq!(throttle.tokens(), model as f64 / 1000.0);
        }
    }
}

fn ended() -> impl Strategy<Value = Ended> {
    let code = prop_oneof![4 => Just(Code::Unavailable), 1 => Just(Code::NotFound), 1 => Just(Code::Ok)];
    let pushback = prop_oneof![
        4 => Just(None),
        1 => Just(Some(Pushback::Stop)),
        1 => (0u64..400).prop_map(|ms| Some(Pushback::After(Duration::from_millis(ms)))),
    ];
    let ended = (code, pushback, prop::bool::weighted(0.85));
    ended.prop_map(|(code, pushback, was_sent)| Ended { code, pushback, was_sent })
}

fn allowance(start: Instant) -> Arc<Allowance> {
    let config = AllowanceConfig {
        throttle: ThrottleConfig { tokens_max: 8, token_ratio: 0.5 },
        budget: BudgetConfig { ttl: Duration::from_secs(60), ratio: 0.5, min_per_second: 0 },
        ..AllowanceConfig::default()
    };
    Arc::new(Allowance::try_new("shop", &config, start).unwrap())
}

/// gRFC A6 in the order of its text, over the whole history of a peer.
#[derive(Default)]
struct SlowPeer {
    tokens: f64,
    calls: u64,
    retries: u64,
}

impl SlowPeer {
    fn end(&mut self, ended: Ended, is_retryable: bool) {
        if ended.code == Code::Ok {
            self.tokens = (self.tokens + 0.5).min(8.0);
        } else if is_retryable || ended.pushback == Some(Pushback::Stop) {
            self.tokens = (self.tokens - 1.0).max(0.0);
        }
    }

    fn has_budget(&self) -> bool {
        self.retries < self.calls / 2
    }
}

proptest! {
    #[test]
    fn the_retry_decisions_are_those_of_a6(
        calls in prop::collection::vec(
            (prop::collection::vec((ended(), prop::bool::weighted(0.9)), 8), prop::option::of(0u64..1000), prop::bool::weighted(0.1)),
            1..40,
        ),
        attempts_max in 2u32..=5,
    ) {
        let start = Instant::now();
        let allowance = allowance(start);
        let (initial_backoff, max_backoff) = (Duration::from_millis(100), Duration::from_millis(300));
        let codes = vec![Code::Unavailable];
        let config = RetryConfig { attempts_max, initial_backoff, max_backoff, codes, ..RetryConfig::default() };
        let policy = RetryPolicy::try_new("/a/b", &config, Idempotency::Idempotent, allowance.clone()).unwrap();
        let mut peer = SlowPeer { tokens: 8.0, ..SlowPeer::default() };
        for (ends, deadline_ms, is_chained) in calls {
            let mut now_ms = 0;
            let deadline = deadline_ms.map(|ms| start + Duration::from_millis(ms));
            let mut call = policy.begin(start, deadline, is_chained);
            peer.calls += 1;
            let (mut made, mut backoff_ms, mut has_transparent) = (1, 100, true);
            for (ended, is_replayable) in ends {
                let now = start + Duration::from_millis(now_ms);
                let decision = policy.decide(&mut call, ended, is_replayable, now, 0.5);
                if !ended.was_sent && has_transparent && is_replayable {
                    has_transparent = false;
                    let expected = Decision::Retry { after: Duration::ZERO, is_transparent: true };
                    prop_assert_eq!(decision, expected);
                    continue;
                }
                let is_retryable = ended.code == Code::Unavailable;
                peer.end(ended, is_retryable);
                let wait_ms = match ended.pushback {
                    Some(Pushback::After(after)) => after.as_millis() as u64,
                    _ => backoff_ms,
                };
                let expected = if !is_retryable {
                    Decision::Commit
                } else if ended.pushback == Some(Pushback::Stop) {
                    Decision::GiveUp(Stop::Pushback)
                } else if !is_replayable {
                    Decision::GiveUp(Stop::Buffer)
                } else if is_chained {
                    Decision::GiveUp(Stop::Chain)
                } else if made == attempts_max {
                    Decision::GiveUp(Stop::AttemptsMax)
                } else if peer.tokens <= 4.0 {
                    Decision::GiveUp(Stop::Throttled)
                } else if deadline_ms.is_some_and(|deadline| now_ms + wait_ms >= deadline) {
                    Decision::GiveUp(Stop::Deadline)
                } else if !peer.has_budget() {
                    Decision::GiveUp(Stop::Budget)
                } else {
                    Decision::Retry { after: Duration::from_millis(wait_ms), is_transparent: false }
                };
                prop_assert_eq!(decision, expected);
                prop_assert_eq!(allowance.throttle().tokens(), peer.tokens);
                if !matches!(decision, Decision::Retry { .. }) {
                    break;
                }
                made += 1;
                peer.retries += 1;
                backoff_ms = if ended.pushback.is_some() { 100 } else { (backoff_ms * 2).min(300) };
                prop_assert_eq!(call.made(), made);
                now_ms += wait_ms;
            }
        }
    }
}

/// What can happen to a hedged call next.
#[derive(Debug, Clone)]
enum Event {
    Ended(Ended, bool),
    Wait(u64),
}

proptest! {
    #[test]
    fn the_hedge_decisions_are_those_of_a6(
        calls in prop::collection::vec(
            (
                prop::collection::vec(prop_oneof![
                    (ended(), prop::bool::weighted(0.95)).prop_map(|(ended, is_replayable)| Event::Ended(ended, is_replayable)),
                    (0u64..150).prop_map(Event::Wait),
                ], 12),
                prop::option::of(0u64..600),
                prop::bool::weighted(0.1),
            ),
            1..30,
        ),
        attempts_max in 2u32..=5,
    ) {
        let start = Instant::now();
        let allowance = allowance(start);
        let delay = HedgeDelay::Fixed(Duration::from_millis(100));
        let config = HedgeConfig { attempts_max, delay, non_fatal_codes: vec![Code::Unavailable], ..HedgeConfig::default() };
        let policy = HedgePolicy::try_new("/a/b", &config, Idempotency::Idempotent, allowance.clone(), start).unwrap();
        let mut peer = SlowPeer { tokens: 8.0, ..SlowPeer::default() };
        'calls: for (events, deadline_ms, is_chained) in calls {
            let mut now_ms = 0;
            let mut call = policy.begin(start, deadline_ms.map(|ms| start + Duration::from_millis(ms)), is_chained);
            peer.calls += 1;
            let (mut made, mut in_flight, mut has_transparent, mut is_stopped) = (1, 1, true, is_chained);
            // When the next one is due, if it may be.
            let due = |at: u64, made: u32, is_stopped: bool| {
                let is_late = deadline_ms.is_some_and(|deadline| at >= deadline);
                (!is_stopped && made < attempts_max && !is_late).then_some(at)
            };
            let mut next = due(100, made, is_stopped);
            for event in events {
                let at = |ms: u64| start + Duration::from_millis(ms);
                prop_assert_eq!(call.next_at(), next.map(at));
                match event {
                    Event::Wait(ms) if next.is_none_or(|next| next > now_ms + ms) => now_ms += ms,
                    Event::Wait(_) => {
                        now_ms = now_ms.max(next.unwrap());
                        let may = peer.tokens > 4.0 && peer.has_budget();
                        prop_assert_eq!(policy.send(&mut call, at(now_ms)).is_ok(), may);
                        if may {
                            (made, in_flight, peer.retries) = (made + 1, in_flight + 1, peer.retries + 1);
                        }
                        is_stopped |= !may;
                        next = due(now_ms + 100, made, is_stopped);
                        if in_flight == 0 {
                            continue 'calls;
                        }
                    }
                    Event::Ended(..) if in_flight == 0 => {}
                    Event::Ended(ended, is_replayable) => {
                        let decision = policy.ended(&mut call, ended, is_replayable, at(now_ms));
                        if !ended.was_sent && has_transparent && is_replayable {
                            has_transparent = false;
                            prop_assert_eq!(decision, HedgeDecision::Resend);
                            continue;
                        }
                        in_flight -= 1;
                        let is_fatal = ended.code != Code::Unavailable;
                        peer.end(ended, !is_fatal);
                        if is_fatal {
                            prop_assert_eq!(decision, HedgeDecision::Commit);
                            continue 'calls;
                        }
                        is_stopped |= ended.pushback == Some(Pushback::Stop) || !is_replayable;
                        is_stopped |= in_flight == 0 && peer.tokens <= 4.0;
                        let wait_ms = match ended.pushback {
                            Some(Pushback::After(after)) => after.as_millis() as u64,
                            _ => 0,
                        };
                        next = due(now_ms + wait_ms, made, is_stopped);
                        let is_over = in_flight == 0 && next.is_none();
                        prop_assert_eq!(matches!(decision, HedgeDecision::GiveUp(_)), is_over);
                        if is_over {
                            continue 'calls;
                        }
                    }
                }
                prop_assert_eq!((call.made(), call.in_flight()), (made, in_flight));
                prop_assert_eq!(allowance.throttle().tokens(), peer.tokens);
            }
        }
    }
}
