//! The shedder against a model that keeps every call.

use std::collections::VecDeque;

use proptest::prelude::{ProptestConfig, Strategy, prop_oneof, proptest};
use proptest::sample::select;

use super::*;

const WIDTH_MS: u64 = 10;
const BUCKETS: u64 = 5;

fn shedder(start: Instant) -> Arc<CpuShedder> {
    let config = CpuShedderConfig {
        buckets: BUCKETS as usize,
        width_of_bucket: Duration::from_millis(WIDTH_MS),
        cool_off: Duration::from_millis(20),
        ..Default::default()
    };
    Arc::new(CpuShedder::try_new(config, start).unwrap())
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Wait { ms: u64 },
    Admit { criticality: Criticality, load: f64 },
    Served,
    Dropped,
}

fn step() -> impl Strategy<Value = Step> {
    let load = prop_oneof![(0.0..0.9), (0.9..=1.0)];
    prop_oneof![
        3 => (1u64..12).prop_map(|ms| Step::Wait { ms }),
        8 => (select(&Criticality::ALL[..]), load).prop_map(|(criticality, load)| Step::Admit { criticality, load }),
        4 => proptest::strategy::Just(Step::Served),
        1 => proptest::strategy::Just(Step::Dropped),
    ]
}

/// Everything that has happened, in milliseconds from the start.
#[derive(Default)]
struct Model {
    now: u64,
    served: Vec<(u64, u64)>,
    in_flight: VecDeque<u64>,
    average: f64,
    busy_at: Option<u64>,
    has_shed: bool,
}

impl Model {
    fn is_shed(&mut self, criticality: Criticality, load: f64) -> bool {
        if load >= 0.9 {
            self.busy_at = Some(self.now);
        } else if !self.has_shed {
            return false;
        } else if self.busy_at.is_none_or(|at| self.now - at >= 20) {
            self.has_shed = false;
            return false;
        }
        let (mut most, mut least_ms) = (1.0f64, 1_000.0f64);
        let current = self.now / WIDTH_MS;
        for bucket in current.saturating_sub(BUCKETS)..current {
            let served: Vec<_> = self.served.iter().filter(|(at, _)| at / WIDTH_MS == bucket).collect();
            if !served.is_empty() {
                most = most.max(served.len() as f64);
                let sum_ms: f64 = served.iter().map(|(_, took)| (*took as f64).max(0.001)).sum();
                least_ms = least_ms.min(sum_ms / served.len() as f64);
            }
        }
        let left = ((1.0 - load) / 0.1).clamp(0.1, 1.0);
        let share = if criticality == Criticality::Sheddable { 0.75 } else { 1.0 };
        let allowed = (most * least_ms / WIDTH_MS as f64).max(1.0) * left * share;
        let is_over = self.in_flight.len() as f64 > allowed + 1e-9 && self.average > allowed + 1e-9;
        let is_shed = is_over && criticality != Criticality::Critical;
        self.has_shed |= is_shed;
        is_shed
    }

    fn end(&mut self) -> u64 {
        let started = self.in_flight.pop_front().unwrap();
        self.average = self.average * 0.9 + self.in_flight.len() as f64 * 0.1;
        started
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_sheds_whom_the_model_does(steps in proptest::collection::vec(step(), 1..300)) {
        let start = Instant::now();
        let (shedder, mut model, mut permits) = (shedder(start), Model::default(), VecDeque::new());
        for step in steps {
            let now = start + Duration::from_millis(model.now);
            match step {
                Step::Wait { ms } => model.now += ms,
                Step::Admit { criticality, load } => {
                    let is_shed = model.is_shed(criticality, load);
                    match shedder.try_admit(now, load, criticality) {
                        Ok(permit) => {
                            assert!(!is_shed, "{:?}", shedder.snapshot(now, load));
                            permits.push_back(permit);
                            model.in_flight.push_back(model.now);
                        }
                        Err(shed) => assert!(is_shed, "{shed}"),
                    }
                }
                Step::Served | Step::Dropped if permits.is_empty() => {}
                Step::Served => {
                    permits.pop_front().unwrap().served(now);
                    let started = model.end();
                    model.served.push((model.now, model.now - started));
                }
                Step::Dropped => {
                    drop(permits.pop_front());
                    model.end();
                }
            }
            assert_eq!(shedder.snapshot(now, 0.0).in_flight as usize, model.in_flight.len());
        }
    }
}

/// A process that serves ten calls a bucket, each in ten milliseconds, is full with ten; then thirty
/// more come and five of them end, so that their average is known.
fn busy() -> (Arc<CpuShedder>, Instant, Vec<CpuPermit>) {
    let start = Instant::now();
    let shedder = shedder(start);
    let at = |ms| start + Duration::from_millis(ms);
    let calls: Vec<_> = (0..10).map(|_| shedder.try_admit(at(0), 0.5, Criticality::Default).unwrap()).collect();
    calls.into_iter().for_each(|call| call.served(at(10)));
    let mut calls: Vec<_> = (0..60).map(|_| shedder.try_admit(at(20), 0.5, Criticality::Default).unwrap()).collect();
    calls.truncate(40);
    (shedder, at(20), calls)
}

#[test]
fn only_a_busy_processor_sheds_and_only_what_is_over_what_it_has_served() {
    let (shedder, now, calls) = busy();
    assert!(shedder.try_admit(now, 0.89, Criticality::Sheddable).is_ok());
    let shed = shedder.try_admit(now, 0.9, Criticality::Default).unwrap_err();
    assert_eq!((shed.in_flight, shed.is_first), (40, true));
    assert!((shed.in_flight_max - 10.0).abs() < 1e-9, "{shed}");
    let busier = shedder.try_admit(now, 0.95, Criticality::Sheddable).unwrap_err();
    assert!(!busier.is_first && (busier.in_flight_max - 3.75).abs() < 1e-9, "{busier}");
    assert!(shedder.try_admit(now, 1.0, Criticality::Critical).is_ok());
    drop(calls);
    assert!(shedder.try_admit(now, 1.0, Criticality::Default).is_ok());
}

#[test]
fn it_sheds_until_the_cool_off_is_over() {
    let (shedder, now, _calls) = busy();
    let at = |ms| now + Duration::from_millis(ms);
    assert!(shedder.check(at(0), 1.0, Criticality::Default).is_err());
    assert!(shedder.check(at(19), 0.1, Criticality::Default).is_err());
    assert!(shedder.check(at(20), 0.1, Criticality::Default).is_ok());
    assert!(!shedder.snapshot(at(20), 0.1).is_shedding);
}

#[test]
fn every_mistake_is_named() {
    let config = CpuShedderConfig {
        cpu_max: 1.0,
        buckets: 0,
        width_of_bucket: Duration::from_micros(10),
        cool_off: Duration::MAX,
    };
    let expected = [
        "cpu_max = 1.0: must be more than 0 and less than 1",
        "buckets = 0: must be 1 to 1023",
        "width_of_bucket = 10µs: must be 1ms to 1h",
        "cool_off = 18446744073709551615.999999999s: must be more than 0 and at most 1h",
    ];
    assert_eq!(CpuShedder::try_new(config, Instant::now()).unwrap_err().to_string(), expected.join("; "));
}
