//! What was measured, as a table, as figures beside their goal, and as JSON.

use harness::wire::Shape;
use harness::{Figure, Goal, Spread, table};
use serde_json::json;
use stack::Sampled;

use crate::rounds::{Measurements, SAMPLED, SHAPES, Series, Spans};
use crate::subjects::Subject;

/// What Seawall should reach, beside the best of the peers.
const GOAL: Goal = Goal::AtLeast(2.0);

/// Prints the tables, then a line a figure.
pub(crate) fn print(subjects: &[Subject], measurements: &Measurements) {
    println!("Requests for each second of the server's processor time, medians:\n");
    let mut rows = Vec::new();
    for sampled in SAMPLED {
        for subject in subjects {
            let cells = SHAPES.map(|shape| {
                let series = measurements.series(*subject, shape, sampled);
                format!("{:.0}", Spread::of(series.per_cpu_second.iter().copied()).median)
            });
            let [usual, single, one] = cells;
            rows.push([subject.to_string(), sampled.name().to_owned(), usual, single, one]);
        }
    }
    let [usual, single, one] = SHAPES.map(|shape| shape.to_string());
    println!("{}", table(["server", "% sampled", &usual, &single, &one], &rows));
    println!("Spans that have arrived, where all calls are sampled:\n");
    let rows: Vec<_> =
        measurements.spans.iter().map(|spans| [spans.subject.to_string(), format!("{:.1}", percent(spans))]).collect();
    println!("{}", table(["server", "%"], &rows));
    for figure in figures(subjects, measurements) {
        println!("{figure}");
    }
}

/// All that was measured.
pub(crate) fn json(subjects: &[Subject], measurements: &Measurements) -> serde_json::Value {
    let series: Vec<_> = measurements
        .series
        .iter()
        .map(|series| {
            json!({
                "server": series.subject.name(),
                "shape": series.shape.to_string(),
                "sampled_percent": series.sampled.name(),
                "per_cpu_second": series.per_cpu_second,
                "per_second": series.per_second,
            })
        })
        .collect();
    let spans = measurements.spans.iter().map(|spans| (spans.subject.to_string(), percent(spans).into()));
    let figures: Vec<_> = figures(subjects, measurements).iter().map(Figure::json).collect();
    json!({
        "series": series,
        "spans_arrived_percent": serde_json::Value::Object(spans.collect()),
        "figures": figures,
    })
}

/// Ours beside the best of the others, with each load; and whether ours loses spans.
fn figures(subjects: &[Subject], measurements: &Measurements) -> Vec<Figure> {
    let loads = SAMPLED.into_iter().flat_map(|sampled| SHAPES.map(|shape| (sampled, shape)));
    let ratios = loads.map(|(sampled, shape)| figure(subjects, measurements, sampled, shape));
    let ours = measurements.spans.iter().filter(|spans| spans.subject == Subject::Seawall);
    let arrived = ours.map(|spans| Figure::counted("peers/spans-percent", percent(spans), Goal::AtLeast(100.0)));
    ratios.chain(arrived).collect()
}

fn figure(subjects: &[Subject], measurements: &Measurements, sampled: Sampled, shape: Shape) -> Figure {
    let name = format!("peers/{shape}/{}", sampled.name());
    let of = |subject: Subject| &measurements.series(subject, shape, sampled).per_cpu_second;
    let median = |subject: Subject| Spread::of(of(subject).iter().copied()).median;
    let peers = subjects.iter().copied().filter(|subject| *subject != Subject::Seawall);
    let Some(best) = peers.max_by(|a, b| median(*a).total_cmp(&median(*b))) else {
        return Figure::missing(name, GOAL, "no peer was measured");
    };
    let ratios = of(Subject::Seawall).iter().zip(of(best)).map(|(ours, theirs)| ours / theirs);
    Figure::measured(name, Spread::of(ratios), GOAL).note(format!("the best is {best}"))
}

fn percent(spans: &Spans) -> f64 {
    100.0 * spans.arrived as f64 / spans.calls as f64
}

impl Measurements {
    fn series(&self, subject: Subject, shape: Shape, sampled: Sampled) -> &Series {
        let is_it = |series: &&Series| series.subject == subject && series.shape == shape && series.sampled == sampled;
        self.series.iter().find(is_it).expect("all loads are put on all servers")
    }
}
