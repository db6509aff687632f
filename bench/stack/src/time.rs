//! How many calls a server answers for each second of its processor.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use harness::plot::{self, Bar};
use harness::wire::Shape;
use harness::{Figure, Goal, H2load, Machine, Profile, Rounds, Spread, bench_folder, table};
use serde_json::json;

use crate::subjects::{
    ANSWER_BYTES, CLIENT_CORE, Collector, Flavour, MESSAGE, OURS, PATH, Programs, Sampled, Subject, USUAL,
};
use crate::{room, size, tail};

/// One call in flight on each of many connections, and many on one.
const WIDE: Shape = Shape { connections: 50, streams: 1 };
pub(crate) const DEEP: Shape = Shape { connections: 1, streams: 100 };
/// Calls that are made before any are measured.
const CALLS_BEFORE: usize = 20_000;
/// How long no span has come once all have.
const QUIET: Duration = Duration::from_millis(600);

/// What is to be measured.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// How often each server is measured with each load
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long a measurement takes, in milliseconds
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    millis: u64,
    /// Measure these alone, by their names
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    only: Vec<String>,
    /// Leave out what is counted under valgrind, which `size` does as well
    #[arg(long)]
    no_size: bool,
    /// Where the results go, as stack.json and plots
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// A server under a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Case {
    subject: Subject,
    shape: Shape,
    /// Whether it is the second time in a round, which tells the noise.
    is_again: bool,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.subject, self.shape, if self.is_again { " again" } else { "" })
    }
}

const fn case(subject: Subject, shape: Shape) -> Case {
    Case { subject, shape, is_again: false }
}

fn cases(only: &[String]) -> Result<Vec<Case>> {
    let ours = [Sampled::OnePercent, Sampled::All].map(Subject::Ours);
    let mut usual = vec![Subject::README, Subject::Off, Subject::OursLogged, Subject::NaiveLogged];
    usual.extend([Flavour::Multi, Flavour::Current].map(|flavour| Subject::Bare(Profile::Release, flavour)));
    usual.extend(ours);
    for sampled in [Sampled::OnePercent, Sampled::All] {
        usual.push(Subject::Naive(Profile::Plain, Flavour::Multi, sampled));
        usual.push(Subject::Naive(Profile::Release, OURS, sampled));
    }
    let mut cases: Vec<Case> = usual.into_iter().map(|subject| case(subject, USUAL)).collect();
    cases.push(Case { is_again: true, ..case(Subject::ALIKE, USUAL) });
    for shape in [WIDE, DEEP] {
        cases.extend([Subject::README, Subject::ALIKE, ours[0]].map(|subject| case(subject, shape)));
    }
    let subjects: Vec<Subject> = cases.iter().map(|case| case.subject).collect();
    let chosen = Subject::chosen(&subjects, only)?;
    cases.retain(|case| chosen.contains(&case.subject));
    Ok(cases)
}

/// Measures, prints and draws.
///
/// # Errors
/// If something cannot be measured.
pub fn run(args: &Args) -> Result<()> {
    let cases = cases(&args.only)?;
    // Those whose memory and slowest calls are measured in any case.
    let beside = [Subject::ALIKE, Subject::Ours(Sampled::OnePercent)];
    let programs = Programs::build(cases.iter().map(|case| case.subject).chain(beside))?;
    let machine = Machine::check()?;
    println!("{machine}\n");
    let rounds = args.rounds as usize;
    let mut bench = Bench::new(&programs, Duration::from_millis(args.millis))?;
    let measured = Rounds::take(&cases, rounds, |case| bench.measure(*case))?;
    print(&cases, &measured, &bench);

    let mut figures = ratios(&measured);
    figures.push(bench.spans());
    figures.extend(room::figures(&programs, &bench.h2load)?);
    figures.push(tail::figure(&programs, rounds, bench.peak(case(Subject::ALIKE, USUAL)))?);
    if !args.no_size {
        figures.extend(size::figures(&size::count_all(&[], harness::callgrind::CALLS)?));
    }

    let out = args.out.clone().unwrap_or_else(|| bench_folder().join("target/stack"));
    std::fs::create_dir_all(&out)?;
    let figures_json: Vec<_> = figures.iter().map(Figure::json).collect();
    let results = json!({
        "machine": machine.json(),
        "calls_per_cpu_second": measured.json(),
        "figures": figures_json,
    });
    std::fs::write(out.join("stack.json"), serde_json::to_string_pretty(&results)? + "\n")?;
    draw(&out, &cases, &measured)?;
    println!("results: {}", out.display());
    for figure in &figures {
        println!("{figure}");
    }
    Ok(())
}

/// What measuring needs, and what it has seen beside processor time.
struct Bench<'a> {
    programs: &'a Programs,
    collector: Collector,
    h2load: H2load,
    time: Duration,
    /// How many calls fit into the time.
    calls: BTreeMap<Case, usize>,
    /// Calls a second of real time, by round.
    rates: BTreeMap<Case, Vec<f64>>,
    /// Of a hundred spans that were due, how many have come, by round; of servers that record everything.
    spans: BTreeMap<Case, Vec<f64>>,
}

impl<'a> Bench<'a> {
    fn new(programs: &'a Programs, time: Duration) -> Result<Self> {
        let h2load = H2load::find(PATH, MESSAGE, ANSWER_BYTES, CLIENT_CORE)?;
        let (calls, rates, spans) = Default::default();
        Ok(Self { programs, collector: programs.collector()?, h2load, time, calls, rates, spans })
    }

    /// Calls for each second of the server's processor, what it exports included.
    fn measure(&mut self, case: Case) -> Result<f64> {
        let spans_before = self.collector.spans()?;
        let (server, address) = self.programs.server(case.subject, self.collector.address)?.serve()?;
        let took = self.h2load.call(address, case.shape, CALLS_BEFORE)?;
        let calls = *self.calls.entry(case).or_insert_with(|| {
            let calls = CALLS_BEFORE as f64 * self.time.as_secs_f64() / took.as_secs_f64();
            (calls as usize).max(CALLS_BEFORE)
        });
        let before = server.cpu_time()?;
        let took = self.h2load.call(address, case.shape, calls)?;
        if case.subject.sampled() == Some(Sampled::All) {
            let due = (CALLS_BEFORE + calls) as u64;
            let came = self.collector.settle_within(spans_before + due, QUIET)? - spans_before;
            self.spans.entry(case).or_default().push(100.0 * came as f64 / due as f64);
        }
        let used = server.cpu_time()? - before;
        server.end()?;
        self.rates.entry(case).or_default().push(calls as f64 / took.as_secs_f64());
        Ok(calls as f64 / used.as_secs_f64())
    }

    /// Calls a second of real time.
    fn peak(&self, case: Case) -> Option<f64> {
        self.rates.get(&case).map(|rates| Spread::of(rates.iter().copied()).median)
    }

    /// Whether all spans come while the server does as much as it can.
    fn spans(&self) -> Figure {
        let (name, goal) = ("spans-counted-percent", Goal::AtLeast(100.0));
        let Some(spans) = self.spans.get(&case(Subject::Ours(Sampled::All), USUAL)) else {
            return Figure::missing(name, goal, "not measured");
        };
        let least = spans.iter().copied().fold(f64::INFINITY, f64::min);
        Figure::counted(name, least, goal).note("of the worst round")
    }
}

fn print(cases: &[Case], measured: &Rounds<Case>, bench: &Bench<'_>) {
    let rows: Vec<_> = cases
        .iter()
        .filter_map(|of| {
            let value = measured.of(of)?;
            let ratio = measured.ratio(of, &case(Subject::README, of.shape));
            let spread = ratio.map(|ratio| format!("{:.2} to {:.2}", ratio.low, ratio.high));
            let spans = bench.spans.get(of).map(|spans| Spread::of(spans.iter().copied()).median);
            Some([
                of.to_string(),
                format!("{:.0}", value.median),
                format!("{:.2}", 1e6 / value.median),
                format!("{:.0}", bench.peak(*of)?),
                ratio.map(|ratio| format!("{:.2}", ratio.median)).unwrap_or_default(),
                spread.unwrap_or_default(),
                spans.map(|percent| format!("{percent:.1} %")).unwrap_or_default(),
            ])
        })
        .collect();
    let heads =
        ["server", "calls per CPU second", "CPU µs a call", "calls a second", "to bare's README", "spread", "spans"];
    println!("{}", table(heads, &rows));
    println!(
        "the same server twice in a round differs by {:.1} %: a difference of less is none\n",
        100.0 * noise(measured)
    );
}

/// How much a server that runs twice in a round differs from itself, of two medians; nothing, if none does.
fn noise(measured: &Rounds<Case>) -> f64 {
    let [one, again] = [false, true].map(|is_again| Case { is_again, ..case(Subject::ALIKE, USUAL) });
    measured.ratio(&again, &one).map_or(0.0, |ratio| (ratio.median - 1.0).abs())
}

/// Each pair with what it should be.
fn ratios(measured: &Rounds<Case>) -> Vec<Figure> {
    let [one, all] = [Sampled::OnePercent, Sampled::All].map(Subject::Ours);
    let naive = |sampled| Subject::Naive(Profile::Plain, Flavour::Multi, sampled);
    let naive_alike = |sampled| Subject::Naive(Profile::Release, OURS, sampled);
    let noise = noise(measured);
    let figure = |name: &str, subject, other, shape, goal| {
        let goal = Goal::AtLeast(goal);
        match measured.ratio(&case(subject, shape), &case(other, shape)) {
            Some(ratio) => Figure::measured(name, ratio.blurred(noise), goal),
            None => Figure::missing(name, goal, "not measured"),
        }
    };
    vec![
        figure("cpu-1-to-bare-alike", one, Subject::ALIKE, USUAL, 1.15),
        figure("cpu-100-to-bare-alike", all, Subject::ALIKE, USUAL, 1.15),
        figure("cpu-100-to-bare-readme", all, Subject::README, USUAL, 2.0),
        figure("cpu-1-to-naive-readme", one, naive(Sampled::OnePercent), USUAL, 3.5),
        figure("cpu-100-to-naive-readme", all, naive(Sampled::All), USUAL, 5.0),
        figure("cpu-100-logged-to-naive-readme", Subject::OursLogged, Subject::NaiveLogged, USUAL, 6.0),
        figure("cpu-1-to-naive-alike", one, naive_alike(Sampled::OnePercent), USUAL, 2.2),
        figure("cpu-100-to-naive-alike", all, naive_alike(Sampled::All), USUAL, 2.7),
        figure("cpu-1-to-bare-readme-1x100", one, Subject::README, DEEP, 2.5),
        figure("cpu-1-to-bare-readme-50x1", one, Subject::README, WIDE, 1.2),
    ]
}

/// A plot for each shape, the best on top.
fn draw(out: &std::path::Path, cases: &[Case], measured: &Rounds<Case>) -> Result<()> {
    for shape in [USUAL, WIDE, DEEP] {
        let base = case(Subject::README, shape);
        let of_shape = cases.iter().filter(|case| case.shape == shape && !case.is_again);
        let mut bars: Vec<Bar> = of_shape
            .filter_map(|case| {
                let value = measured.ratio(case, &base)?;
                Some(Bar { name: case.subject.to_string(), value, is_ours: case.subject.is_ours() })
            })
            .collect();
        bars.sort_by(|a, b| b.value.median.total_cmp(&a.value.median));
        let title = format!("Calls for each second of the server's processor, {shape}");
        plot::bars(&out.join(format!("stack-{shape}.svg")), &title, "times those of bare tonic's README", &bars)?;
    }
    Ok(())
}
