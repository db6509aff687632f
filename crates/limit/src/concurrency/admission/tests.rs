//! The admission against a model that keeps everybody in lists.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32 as Counter, Ordering::SeqCst};
use std::task::Wake;

use proptest::prelude::{Just, ProptestConfig, Strategy, prop_oneof, proptest};
use proptest::sample::select;

use super::*;

const SHARES: Shares = Shares { default_share: 0.9, sheddable_share: 0.6, queues: [0.0, 0.5, 1.0] };

#[derive(Debug, Clone, Copy)]
enum Step {
    Enter { criticality: Criticality, may_wait: bool },
    Leave,
    StopWaiting { which: usize },
    SetLimit { limit: u32 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (select(&Criticality::ALL[..]), proptest::bool::ANY)
            .prop_map(|(criticality, may_wait)| Step::Enter { criticality, may_wait }),
        4 => Just(Step::Leave),
        1 => (0..100usize).prop_map(|which| Step::StopWaiting { which }),
        1 => (1..12u32).prop_map(|limit| Step::SetLimit { limit }),
    ]
}

/// Who is in, and who waits in the order of coming.
struct Model {
    limit: u32,
    in_flight: u32,
    waiting: Vec<(Criticality, Key)>,
}

impl Model {
    fn allowed(&self, criticality: Criticality) -> u32 {
        let of_ten = [6, 9, 10][criticality as usize];
        (self.limit * of_ten).div_ceil(10)
    }

    /// Lets in who is next, until nobody is; answers with who was let in.
    fn grant(&mut self) -> Vec<Key> {
        let mut granted = Vec::new();
        for criticality in [Criticality::Critical, Criticality::Default, Criticality::Sheddable] {
            while let Some(at) = self.waiting.iter().position(|(of, _)| *of == criticality) {
                if self.in_flight >= self.allowed(criticality) {
                    return granted;
                }
                self.in_flight += 1;
                granted.push(self.waiting.remove(at).1);
            }
        }
        granted
    }
}

#[derive(Default)]
struct Woken(Counter);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_lets_in_whom_the_model_does(steps in proptest::collection::vec(step(), 1..200)) {
        let admission = Admission::new(4, SHARES);
        let mut model = Model { limit: 4, in_flight: 0, waiting: Vec::new() };
        let mut wakers = Vec::new();
        for step in steps {
            let mut granted = Vec::new();
            match step {
                Step::Enter { criticality, may_wait } => {
                    let is_behind = model.waiting.iter().any(|(of, _)| *of >= criticality);
                    let queued = model.waiting.iter().filter(|(of, _)| *of == criticality).count() as u32;
                    let room = [0, model.limit.div_ceil(2), model.limit][criticality as usize];
                    match admission.enter(criticality, |_| may_wait) {
                        Entry::Admitted => {
                            assert!(!is_behind && model.in_flight < model.allowed(criticality));
                            model.in_flight += 1;
                        }
                        Entry::Waiting(key) => {
                            assert!(is_behind || model.in_flight >= model.allowed(criticality));
                            assert!(may_wait && queued < room);
                            model.waiting.push((criticality, key));
                            let woken = Arc::new(Woken::default());
                            assert!(!admission.poll(key, &Arc::clone(&woken).into()));
                            wakers.push((key, woken));
                        }
                        Entry::Full(load) => {
                            assert!(is_behind || model.in_flight >= model.allowed(criticality));
                            assert!(!may_wait || queued >= room);
                            assert_eq!(load.limit, model.allowed(criticality));
                        }
                    }
                }
                Step::Leave if model.in_flight == 0 => {}
                Step::Leave => {
                    admission.leave();
                    model.in_flight -= 1;
                    granted = model.grant();
                }
                Step::StopWaiting { .. } if model.waiting.is_empty() => {}
                Step::StopWaiting { which } => {
                    let (_, key) = model.waiting.remove(which % model.waiting.len());
                    assert!(admission.stop_waiting(key));
                    wakers.retain(|(of, _)| *of != key);
                    granted = model.grant();
                }
                Step::SetLimit { limit } => {
                    admission.set_limit(limit);
                    model.limit = limit;
                    granted = model.grant();
                }
            }
            for (key, woken) in &wakers {
                let is_granted = granted.contains(key);
                assert_eq!(woken.0.load(SeqCst), u32::from(is_granted));
                assert_eq!(admission.poll(*key, &Arc::clone(woken).into()), is_granted);
            }
            wakers.retain(|(key, _)| !granted.contains(key));
            let waiting = model.waiting.len() as u32;
            assert_eq!(admission.load(), Load { limit: model.limit, in_flight: model.in_flight, waiting });
        }
    }
}

#[test]
fn an_idle_server_takes_a_call_of_any_criticality_whatever_the_limit() {
    for limit in 1..=200 {
        let allowed = Criticality::ALL.map(|criticality| SHARES.allowed(criticality, limit));
        assert!(allowed[0] >= 1 && allowed.is_sorted() && allowed[2] == limit, "{limit}: {allowed:?}");
    }
    assert_eq!(Criticality::ALL.map(|criticality| SHARES.allowed(criticality, 20)), [12, 18, 20]);
}
