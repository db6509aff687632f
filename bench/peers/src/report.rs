//! What was measured, as tables, figures beside their goals, JSON and a plot.

use std::path::Path;

use anyhow::Result;
use harness::plot::{self, Bar};
use harness::{Figure, Goal, Machine, Spread, table};
use serde_json::json;

use crate::measure::{Load, Measurements, Run};
use crate::subjects::Subject;

/// What Seawall should reach, beside the best of the peers.
const GOAL: Goal = Goal::AtLeast(2.0);

/// Prints the tables.
pub(crate) fn print(subjects: &[Subject], measurements: &Measurements) {
    println!("Calls for each second of the server's processor, medians and their spreads:\n");
    let mut rows = Vec::new();
    for load in Load::all() {
        for subject in subjects {
            let Spread { low, median, high } = measurements.of(*subject, load);
            let cells = [median, low, high].map(|value| format!("{value:.0}"));
            let [median, low, high] = cells;
            let sampled = load.sampled.name().to_owned();
            rows.push([subject.to_string(), load.shape.to_string(), sampled, median, low, high]);
        }
    }
    println!("{}", table(["server", "load", "% sampled", "median", "from", "to"], &rows));
    println!("Spans that have come, where all calls are sampled:\n");
    let rows: Vec<_> =
        measurements.spans.iter().map(|(subject, percent)| [subject.to_string(), format!("{percent:.1}")]).collect();
    println!("{}", table(["server", "%"], &rows));
}

/// Writes all that was measured, and a plot of it, into the folder `out`.
pub(crate) fn write(out: &Path, machine: &Machine, subjects: &[Subject], measurements: &Measurements) -> Result<()> {
    let spans = measurements.spans.iter().map(|(subject, percent)| (subject.to_string(), (*percent).into()));
    let all = json!({
        "machine": machine.json(),
        "calls_per_cpu_second": measurements.rounds.json(),
        "spans_percent": serde_json::Value::Object(spans.collect()),
        "figures": figures(subjects, measurements).iter().map(Figure::json).collect::<Vec<_>>(),
    });
    std::fs::create_dir_all(out)?;
    std::fs::write(out.join("peers.json"), serde_json::to_string_pretty(&all)? + "\n")?;
    let bars = Load::all().flat_map(|load| subjects.iter().map(move |subject| bar(measurements, load, *subject)));
    let title = "Servers with everything on";
    plot::bars(
        &out.join("peers.svg"),
        title,
        "thousand calls for each second of its processor",
        &bars.collect::<Vec<_>>(),
    )?;
    println!("results: {}", out.display());
    Ok(())
}

fn bar(measurements: &Measurements, load: Load, subject: Subject) -> Bar {
    let Spread { low, median, high } = measurements.of(subject, load);
    let [low, median, high] = [low, median, high].map(|value| value / 1_000.0);
    let name = format!("{subject}, {}, {} %", load.shape, load.sampled.name());
    Bar { name, value: Spread { low, median, high }, is_ours: subject == Subject::Seawall }
}

/// Ours beside the best of the others, with each load; and whether ours loses spans.
pub(crate) fn figures(subjects: &[Subject], measurements: &Measurements) -> Vec<Figure> {
    let peers = subjects.iter().copied().filter(|subject| *subject != Subject::Seawall);
    let (documented, tuned): (Vec<_>, Vec<_>) = peers.partition(|peer| peer.is_as_documented());
    let mut figures = Vec::new();
    for (kind, peers) in [("best", documented), ("tuned", tuned)] {
        figures.extend(Load::all().map(|load| figure(kind, &peers, measurements, load)));
    }
    let ours = measurements.spans.get(&Subject::Seawall);
    figures.extend(ours.map(|percent| Figure::counted("spans-counted-percent", *percent, Goal::AtLeast(100.0))));
    figures
}

fn figure(kind: &str, peers: &[Subject], measurements: &Measurements, load: Load) -> Figure {
    let name = format!("cpu-{}-to-{kind}-peer-{}", load.sampled.name(), load.shape);
    let median = |subject: Subject| measurements.of(subject, load).median;
    let Some(best) = peers.iter().copied().max_by(|a, b| median(*a).total_cmp(&median(*b))) else {
        return Figure::missing(name, GOAL, "not measured");
    };
    let [ours, theirs] = [Subject::Seawall, best].map(|subject| Run { load, subject });
    let ratio = measurements.rounds.ratio(&ours, &theirs).expect("all were measured");
    Figure::measured(name, ratio, GOAL).note(format!("beside {best}"))
}

impl Measurements {
    fn of(&self, subject: Subject, load: Load) -> Spread {
        self.rounds.of(&Run { load, subject }).expect("all were measured")
    }
}
