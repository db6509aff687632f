//! Outlier detection against the text of gRFC A50, transcribed onto plain vectors.

use proptest::prelude::*;

use super::*;

/// One entry of A50's map, with its buckets as lists of calls.
#[derive(Debug, Clone, Default)]
struct Entry {
    active: Vec<bool>,
    inactive: Vec<bool>,
    ever: Vec<bool>,
    ejected_at_s: Option<u64>,
    multiplier: u32,
    has_returned: bool,
}

impl Entry {
    fn successes(&self) -> f64 {
        self.inactive.iter().filter(|ok| **ok).count() as f64
    }

    fn volume(&self) -> u32 {
        self.inactive.len() as u32
    }

    fn consecutive_failures(&self) -> usize {
        self.ever.iter().rev().take_while(|ok| !**ok).count()
    }
}

struct Model {
    config: OutlierConfig,
    map: Vec<Entry>,
}

impl Model {
    fn percent_ejected(&self) -> f64 {
        self.map.iter().filter(|entry| entry.ejected_at_s.is_some()).count() as f64 * 100.0 / self.map.len() as f64
    }

    fn may_not_eject(&self) -> bool {
        let percent = self.percent_ejected();
        percent > 0.0 && percent >= f64::from(self.config.max_ejection_percent)
    }

    fn eject(&mut self, index: usize, now_s: u64) {
        let entry = &mut self.map[index];
        entry.ejected_at_s = Some(now_s);
        entry.multiplier += 1;
    }

    fn success_rate(&mut self, now_s: u64) {
        let Some(config) = self.config.success_rate else { return };
        let rates: Vec<f64> = self
            .map
            .iter()
            .filter(|entry| entry.volume() >= config.request_volume)
            .map(|entry| entry.successes() / f64::from(entry.volume()))
            .collect();
        if rates.len() < config.minimum_hosts as usize {
            return;
        }
        let mean = rates.iter().sum::<f64>() / rates.len() as f64;
        let stdev = (rates.iter().map(|rate| (rate - mean) * (rate - mean)).sum::<f64>() / rates.len() as f64).sqrt();
        for index in 0..self.map.len() {
            if self.may_not_eject() {
                return;
            }
            let entry = &self.map[index];
            if entry.volume() < config.request_volume || entry.ejected_at_s.is_some() {
                continue;
            }
            let rate = entry.successes() / f64::from(entry.volume());
            if rate < mean - stdev * (f64::from(config.stdev_factor) / 1000.0) {
                self.eject(index, now_s);
            }
        }
    }

    fn failure_percentage(&mut self, now_s: u64) {
        let Some(config) = self.config.failure_percentage else { return };
        if self.map.len() < config.minimum_hosts as usize {
            return;
        }
        for index in 0..self.map.len() {
            if self.may_not_eject() {
                return;
            }
            let entry = &self.map[index];
            if entry.volume() < config.request_volume || entry.ejected_at_s.is_some() {
                continue;
            }
            let failures = f64::from(entry.volume()) - entry.successes();
            if 100.0 * failures / f64::from(entry.volume()) > f64::from(config.threshold_percent) {
                self.eject(index, now_s);
            }
        }
    }

    /// Envoy's.
    fn consecutive(&mut self, now_s: u64) {
        let Some(limit) = self.config.consecutive_failures else { return };
        for index in 0..self.map.len() {
            let entry = &self.map[index];
            let is_on_probation = entry.has_returned && entry.ever.iter().all(|ok| !ok);
            let limit = if is_on_probation { 1 } else { limit as usize };
            let is_found = entry.ejected_at_s.is_none() && entry.consecutive_failures() >= limit;
            if is_found && self.map.len() >= 2 && !self.may_not_eject() {
                self.eject(index, now_s);
            }
        }
    }

    fn sweep(&mut self, now_s: u64) {
        for entry in &mut self.map {
            entry.inactive = std::mem::take(&mut entry.active);
        }
        self.success_rate(now_s);
        self.failure_percentage(now_s);
        self.consecutive(now_s);
        let (base, max) = (self.config.base_ejection_time.as_secs(), self.config.max_ejection_time.as_secs());
        for entry in &mut self.map {
            match entry.ejected_at_s {
                None => entry.multiplier = entry.multiplier.saturating_sub(1),
                Some(at_s) if now_s > at_s + (base * u64::from(entry.multiplier)).min(base.max(max)) => {
                    entry.ejected_at_s = None;
                    entry.ever.clear();
                    entry.has_returned = true;
                }
                Some(_) => {}
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Event {
    /// Calls of one endpoint, of which some percent fail.
    Calls {
        endpoint: prop::sample::Index,
        calls: usize,
        failing_percent: u64,
    },
    Sweep {
        after_s: u64,
    },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let failing = prop_oneof![3 => Just(0_u64), 2 => Just(100), 1 => 0_u64..=100];
    let calls = (any::<prop::sample::Index>(), 1_usize..30, failing)
        .prop_map(|(endpoint, calls, failing_percent)| Event::Calls { endpoint, calls, failing_percent });
    let sweep = (1_u64..15).prop_map(|after_s| Event::Sweep { after_s });
    prop::collection::vec(prop_oneof![6 => calls, 1 => sweep], 1..120)
}

fn configs() -> impl Strategy<Value = OutlierConfig> {
    let success_rate =
        prop::option::of((0_u32..3_000, 1_u32..6, 1_u32..30).prop_map(|(stdev_factor, hosts, volume)| SuccessRate {
            stdev_factor,
            minimum_hosts: hosts,
            request_volume: volume,
            enforcement_percent: 100,
        }));
    let failure_percentage =
        prop::option::of((0_u32..=100, 1_u32..6, 1_u32..30).prop_map(|(percent, hosts, volume)| FailurePercentage {
            threshold_percent: percent,
            minimum_hosts: hosts,
            request_volume: volume,
            enforcement_percent: 100,
        }));
    let consecutive = prop::option::of(1_u32..20);
    (success_rate, failure_percentage, consecutive, 0_u32..=100, 1_u64..40, 1_u64..80).prop_map(
        |(success_rate, failure_percentage, consecutive_failures, max_ejection_percent, base_s, max_s)| OutlierConfig {
            interval: Duration::from_secs(10),
            base_ejection_time: Duration::from_secs(base_s),
            max_ejection_time: Duration::from_secs(max_s),
            max_ejection_percent,
            success_rate,
            failure_percentage,
            consecutive_failures,
        },
    )
}

proptest! {
    #[test]
    fn it_decides_as_a50_is_written(config in configs(), endpoints in 1_usize..9, events in events(), seed: u64) {
        let mut model = Model { config: config.clone(), map: vec![Entry::default(); endpoints] };
        let outlier = Outlier::try_new(config).unwrap();
        let trackers: Vec<Tracker> = std::iter::repeat_with(Tracker::default).take(endpoints).collect();
        let trackers: Vec<&Tracker> = trackers.iter().collect();
        let origin = Instant::now();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut now_s = 0;
        for event in events {
            match event {
                Event::Calls { endpoint, calls, failing_percent } => {
                    let index = endpoint.index(endpoints);
                    for _ in 0..calls {
                        let is_success = random.u64(0..100) >= failing_percent;
                        model.map[index].active.push(is_success);
                        model.map[index].ever.push(is_success);
                        if outlier.record(trackers[index], is_success) {
                            outlier.check_consecutive(origin + Duration::from_secs(now_s), &trackers);
                            model.consecutive(now_s);
                        }
                    }
                }
                Event::Sweep { after_s } => {
                    now_s += after_s;
                    outlier.sweep(origin + Duration::from_secs(now_s), &trackers, || random.f64());
                    model.sweep(now_s);
                }
            }
            for (tracker, entry) in trackers.iter().zip(&model.map) {
                prop_assert_eq!(tracker.is_ejected(), entry.ejected_at_s.is_some());
                let ejection = *tracker.ejection();
                prop_assert_eq!(ejection.at.is_some(), tracker.is_ejected());
                prop_assert_eq!(ejection.multiplier, entry.multiplier);
            }
        }
    }
}

fn defaults() -> (Outlier, Vec<Tracker>, Instant) {
    let trackers = std::iter::repeat_with(Tracker::default).take(5).collect();
    (Outlier::try_new(OutlierConfig::default()).unwrap(), trackers, Instant::now())
}

fn record(outlier: &Outlier, tracker: &Tracker, successes: u32, failures: u32) {
    // A success after each few failures, so that none are too many in a row.
    for n in 0..successes.max(failures) {
        for (of, is_success) in [(failures, false), (successes, true)] {
            if n < of {
                outlier.record(tracker, is_success);
            }
        }
    }
}

#[test]
fn one_of_five_that_fails_half_of_its_calls_is_ejected_by_its_success_rate() {
    let (outlier, trackers, now) = defaults();
    for (index, tracker) in trackers.iter().enumerate() {
        let failures = if index == 2 { 100 } else { 1 };
        record(&outlier, tracker, 100, failures);
    }
    let trackers: Vec<&Tracker> = trackers.iter().collect();
    let verdicts = outlier.sweep(now, &trackers, || 0.0);
    let [verdict] = verdicts[..] else { panic!("{verdicts:?}") };
    let base = Duration::from_secs(30);
    assert_eq!((verdict.index, verdict.action), (2, Action::Ejected(base)));
    assert_eq!((verdict.detection, verdict.successes, verdict.failures), (Some(Detection::SuccessRate), 100, 100));
    assert_eq!(outlier.remaining(now, trackers[2]), Some(base));
    // After its time, not at it; and what it did before is forgotten.
    assert!(outlier.sweep(now + base, &trackers, || 0.0).is_empty());
    let verdicts = outlier.sweep(now + base * 2, &trackers, || 0.0);
    assert_eq!(verdicts.iter().map(|v| (v.index, v.action)).collect::<Vec<_>>(), [(2, Action::Returned)]);
    assert_eq!(outlier.remaining(now, trackers[2]), None);
}

#[test]
fn an_outlier_that_is_not_ejected_is_told_with_the_reason() {
    let (outlier, trackers, now) = defaults();
    let trackers: Vec<&Tracker> = trackers.iter().collect();
    for tracker in &trackers[..2] {
        for _ in 0..5 {
            outlier.record(tracker, false);
        }
    }
    let actions: Vec<Action> = outlier.check_consecutive(now, &trackers).iter().map(|v| v.action).collect();
    assert_eq!(actions, [Action::Ejected(Duration::from_secs(30)), Action::Overflow]);

    let spared = OutlierConfig {
        failure_percentage: Some(FailurePercentage { enforcement_percent: 50, ..Default::default() }),
        consecutive_failures: None,
        ..OutlierConfig::default()
    };
    for (random, action) in [(0.5, Action::Spared), (0.49, Action::Ejected(Duration::from_secs(30)))] {
        let outlier = Outlier::try_new(spared.clone()).unwrap();
        let trackers: Vec<Tracker> = std::iter::repeat_with(Tracker::default).take(5).collect();
        record(&outlier, &trackers[4], 0, 50);
        let verdicts = outlier.sweep(now, &trackers.iter().collect::<Vec<_>>(), || random);
        assert_eq!(verdicts.iter().map(|v| (v.index, v.action)).collect::<Vec<_>>(), [(4, action)]);
    }
}

#[test]
fn no_more_are_ejected_than_the_share_of_all() {
    for (max_ejection_percent, endpoints, expected) in [(0, 5, 1), (10, 10, 1), (11, 10, 2), (20, 10, 2), (100, 10, 10)]
    {
        let config = OutlierConfig { max_ejection_percent, ..OutlierConfig::default() };
        let outlier = Outlier::try_new(config).unwrap();
        let trackers: Vec<Tracker> = std::iter::repeat_with(Tracker::default).take(endpoints).collect();
        let trackers: Vec<&Tracker> = trackers.iter().collect();
        for tracker in &trackers {
            for _ in 0..5 {
                outlier.record(tracker, false);
            }
        }
        outlier.check_consecutive(Instant::now(), &trackers);
        let ejected = trackers.iter().filter(|tracker| tracker.is_ejected()).count();
        assert_eq!(ejected, expected, "{max_ejection_percent} % of {endpoints}");
    }
}

#[test]
fn the_only_endpoint_stays_in_use() {
    let (outlier, trackers, now) = defaults();
    for _ in 0..100 {
        outlier.record(&trackers[0], false);
    }
    assert!(outlier.check_consecutive(now, &[&trackers[0]]).is_empty());
}
