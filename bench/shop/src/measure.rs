//! Measures the shops in turn, round after round, so that what else the machine does meets all of them alike.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use harness::latency::{self, Outcome};
use harness::{Rounds, Spread, pinned};
use stack::{Collector, Sampled};

use crate::databases::Databases;
use crate::shop::Shop;
use crate::subjects::{CLIENT_CORE, Case, Engine, Programs, SHAPE, Subject};

/// How long a shop is called before it is measured: its pools have closed their connections since its last turn.
const WARM_UP: Duration = Duration::from_millis(300);
/// How long no span has come once all have: three times as long as an exporter waits for more of them.
const QUIET: Duration = Duration::from_millis(600);
/// What of the slowest shop's peak the fixed rate is.
const SHARE: f64 = 0.7;

/// What is put on a shop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Load {
    /// As many calls in flight as the shape has.
    Saturation,
    /// So many calls a second.
    Rate(f64),
}

/// One measurement. Times are in microseconds, those of processors by call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) per_second: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) order: f64,
    pub(crate) user: f64,
    pub(crate) postgres: f64,
    pub(crate) spans: f64,
    /// Shares, not counts.
    pub(crate) refused: f64,
    pub(crate) idle: f64,
}

impl Sample {
    /// Of both services: what is compared.
    pub(crate) fn services(&self) -> f64 {
        self.order + self.user
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "calls_per_second": self.per_second,
            "p50_us": self.p50,
            "p99_us": self.p99,
            "p99.9_us": self.p999,
            "order_cpu_us": self.order,
            "user_cpu_us": self.user,
            "postgres_cpu_us": self.postgres,
            "spans": self.spans,
            "refused": self.refused,
            "load_idle": self.idle,
        })
    }
}

/// The samples of each case, by round.
#[derive(Debug, Default)]
pub(crate) struct Samples(BTreeMap<Case, Vec<Sample>>);

impl Samples {
    pub(crate) fn all(&self) -> impl Iterator<Item = (Case, &[Sample])> {
        self.0.iter().map(|(case, samples)| (*case, samples.as_slice()))
    }

    pub(crate) fn of(&self, case: Case, value: impl Fn(&Sample) -> f64) -> Option<Spread> {
        Some(Spread::of(self.0.get(&case)?.iter().map(value)))
    }

    /// How many times those of `other` the values of `case` are, each in the same round.
    pub(crate) fn ratio(&self, case: Case, other: Case, value: impl Fn(&Sample) -> f64) -> Option<Spread> {
        let (samples, others) = (self.0.get(&case)?, self.0.get(&other)?);
        Some(Spread::of(samples.iter().zip(others).map(|(sample, other)| value(sample) / value(other))))
    }

    /// What the slowest server of this method and engine can be asked for without end.
    fn rate(&self, case: Case) -> Option<f64> {
        let peak = |subject| self.of(case.on(subject), |sample| sample.per_second).map(|peak| peak.median);
        Subject::ALL.into_iter().filter_map(peak).min_by(f64::total_cmp).map(|peak| SHARE * peak)
    }
}

/// All shops, which run at the same time and are called in turn.
pub(crate) struct Bench {
    databases: Databases,
    collector: Collector,
    shops: BTreeMap<(Engine, Subject), Shop>,
}

impl Bench {
    /// Starts them.
    pub(crate) fn open(programs: &Programs, databases: Databases, engines: &[Engine]) -> Result<Self> {
        let collector = programs.stack.collector()?;
        let mut shops = BTreeMap::new();
        for engine in engines {
            for subject in Subject::ALL {
                let shop = Shop::open(programs, subject, *engine, &databases, collector.address)
                    .with_context(|| format!("{subject} on {engine}"))?;
                shops.insert((*engine, subject), shop);
            }
        }
        Ok(Self { databases, collector, shops })
    }

    /// With as many calls in flight as the shape has; one server twice, which tells the noise.
    pub(crate) fn saturation(&mut self, engines: &[Engine], rounds: usize, time: Duration) -> Result<Samples> {
        let mut cases = Case::all(engines);
        let bare: Vec<Case> = cases.iter().copied().filter(|case| case.subject == Subject::Bare).collect();
        cases.extend(bare.into_iter().map(|case| Case { is_again: true, ..case }));
        self.take(&cases, rounds, time, |_| Ok(Load::Saturation))
    }

    /// At what the slowest server of each method and engine can be asked for without end.
    pub(crate) fn fixed(
        &mut self,
        engines: &[Engine],
        rounds: usize,
        time: Duration,
        peaks: &Samples,
    ) -> Result<Samples> {
        let load = |case| Ok(Load::Rate(peaks.rate(case).context("its peak was not measured")?));
        self.take(&Case::all(engines), rounds, time, load)
    }

    fn take(
        &mut self,
        cases: &[Case],
        rounds: usize,
        time: Duration,
        load: impl Fn(Case) -> Result<Load>,
    ) -> Result<Samples> {
        let mut samples = Samples::default();
        // The order is theirs, the values are ours: a measurement has several.
        Rounds::take(cases, rounds, |case| {
            let load = load(*case)?;
            self.call(*case, load, WARM_UP)?;
            let sample = self.measure(*case, load, time)?;
            samples.0.entry(*case).or_default().push(sample);
            Ok(sample.per_second)
        })?;
        Ok(samples)
    }

    fn measure(&mut self, case: Case, load: Load, time: Duration) -> Result<Sample> {
        let spans_before = self.settled(case)?;
        let before = self.shop(case).cpu_times()?;
        let postgres_before = self.databases.cpu_times();
        let outcome = self.call(case, load, time)?;
        let spans = self.settled(case)? - spans_before;
        let after = self.shop(case).cpu_times()?;
        let postgres = self.databases.cpu_times().since(&postgres_before);
        // What is refused is no call that was served, and costs those that are.
        let calls = (outcome.calls - outcome.refused) as f64;
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let percentile = |share| micros(outcome.latencies.percentile(share));
        Ok(Sample {
            per_second: calls / outcome.took.as_secs_f64(),
            p50: percentile(0.5),
            p99: percentile(0.99),
            p999: percentile(0.999),
            order: micros(after[0] - before[0]) / calls,
            user: micros(after[1] - before[1]) / calls,
            postgres: micros(postgres) / calls,
            spans: spans as f64 / calls,
            refused: outcome.refused as f64 / outcome.calls as f64,
            idle: outcome.idle,
        })
    }

    fn shop(&mut self, case: Case) -> &mut Shop {
        self.shops.get_mut(&(case.engine, case.subject)).expect("all were opened")
    }

    fn call(&mut self, case: Case, load: Load, time: Duration) -> Result<Outcome> {
        let shop = self.shop(case);
        let address = shop.address(case.method);
        let call = || shop.call(case.method);
        pinned(CLIENT_CORE, || match load {
            Load::Saturation => latency::in_flight_with(address, call, SHAPE, time),
            Load::Rate(per_second) => latency::at_rate_with(address, call, SHAPE.connections, per_second, time),
        })
    }

    /// How many spans have come in all, once no more of them come.
    fn settled(&mut self, case: Case) -> Result<u64> {
        match case.subject {
            Subject::Ours(Sampled::All) => self.collector.settle_within(u64::MAX, QUIET),
            _ => self.collector.spans(),
        }
    }

    /// Ends everything.
    pub(crate) fn close(self) -> Result<()> {
        for shop in self.shops.into_values() {
            shop.end()?;
        }
        self.databases.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subjects::Method;

    fn samples(peaks: [(Subject, [f64; 3]); 3]) -> Samples {
        let sample = Sample {
            per_second: 0.0,
            p50: 1.0,
            p99: 1.0,
            p999: 1.0,
            order: 2.0,
            user: 1.0,
            postgres: 0.0,
            spans: 0.0,
            refused: 0.0,
            idle: 1.0,
        };
        let sample = |per_second| Sample { per_second, ..sample };
        Samples(peaks.into_iter().map(|(subject, peaks)| (case(subject), peaks.map(sample).to_vec())).collect())
    }

    fn case(subject: Subject) -> Case {
        Case { method: Method::GetUser, engine: Engine::Sqlite, subject, is_again: false }
    }

    #[test]
    fn the_rate_is_a_share_of_what_the_slowest_serves() {
        let [one, all] = Subject::OURS;
        let samples = samples([(Subject::Bare, [90.0, 100.0, 110.0]), (one, [80.0; 3]), (all, [120.0, 60.0, 50.0])]);
        assert_eq!(samples.rate(case(one)), Some(SHARE * 60.0));
        let elsewhere = Case { engine: Engine::Postgres, ..case(one) };
        assert_eq!(samples.rate(elsewhere), None);
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let [one, all] = Subject::OURS;
        let samples = samples([(Subject::Bare, [50.0, 100.0, 200.0]), (one, [100.0, 200.0, 400.0]), (all, [1.0; 3])]);
        let ratio = samples.ratio(case(one), case(Subject::Bare), |sample| sample.per_second);
        assert_eq!(ratio.map(|ratio| ratio.median), Some(2.0));
    }
}
