//! What was measured, as tables, figures beside their goals, JSON and a plot.

use std::path::Path;

use anyhow::Result;
use harness::plot::{self, Bar};
use harness::{Figure, Goal, Machine, Spread, table};
use serde_json::{Value, json};

use crate::measure::{Sample, Samples};
use crate::subjects::{Case, SHAPE, Subject};

/// Prints and writes everything.
pub(crate) fn report(out: &Path, machine: &Machine, peaks: &Samples, fixed: &Samples) -> Result<()> {
    println!("Always {} calls in flight:\n", SHAPE.connections * SHAPE.streams);
    print(peaks);
    let noise = noise(peaks);
    println!("the same server twice in a round differs by {:.1} %: a difference of less is none\n", 100.0 * noise);
    println!("At a fixed rate, the times of calls beginning when they were due:\n");
    print(fixed);

    let figures = figures(peaks, fixed, noise);
    std::fs::create_dir_all(out)?;
    let results = json!({
        "machine": machine.json(),
        "noise": noise,
        "saturation": samples(peaks),
        "fixed_rate": samples(fixed),
        "figures": figures.iter().map(Figure::json).collect::<Vec<_>>(),
    });
    std::fs::write(out.join("shop.json"), serde_json::to_string_pretty(&results)? + "\n")?;
    draw(out, peaks)?;
    println!("results: {}", out.display());
    for figure in &figures {
        println!("{figure}");
    }
    Ok(())
}

fn samples(samples: &Samples) -> Value {
    let all = samples.all().map(|(case, samples)| {
        let samples: Vec<Value> = samples.iter().map(Sample::json).collect();
        (case.to_string(), samples.into())
    });
    Value::Object(all.collect())
}

/// Medians of all rounds; the last column is what both services use together, beside that of bare tonic.
fn print(samples: &Samples) {
    let rows: Vec<_> = samples
        .all()
        .filter(|(case, _)| !case.is_again)
        .filter_map(|(case, all)| {
            let median = |value: fn(&Sample) -> f64| Spread::of(all.iter().map(value)).median;
            let whole = |value| format!("{:.0}", median(value));
            let ratio = samples.ratio(case, case.on(Subject::Bare), Sample::services)?;
            Some([
                case.to_string(),
                whole(|sample| sample.per_second),
                millis(median(|sample| sample.p50)),
                millis(median(|sample| sample.p99)),
                millis(median(|sample| sample.p999)),
                whole(|sample| sample.order),
                whole(|sample| sample.user),
                whole(|sample| sample.postgres),
                format!("{:.2}", ratio.median),
                format!("{:.1}", median(|sample| sample.spans)),
                format!("{:.2}", 100.0 * median(|sample| sample.refused)),
            ])
        })
        .collect();
    let heads = [
        "call",
        "a second",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "order CPU µs",
        "user CPU µs",
        "postgres CPU µs",
        "services to bare's",
        "spans",
        "refused %",
    ];
    println!("{}", table(heads, &rows));
    let idle = samples.all().flat_map(|(_, all)| all.iter().map(|sample| sample.idle)).fold(1.0, f64::min);
    println!("the load had nothing to do for {:.0} % of its time or more", 100.0 * idle);
}

fn millis(micros: f64) -> String {
    format!("{:.2}", micros / 1e3)
}

/// How much a server that runs twice in a round differs from itself, at the most: of two medians.
fn noise(peaks: &Samples) -> f64 {
    let again = peaks.all().filter(|(case, _)| case.is_again).filter_map(|(case, _)| {
        let ratio = peaks.ratio(case, case.on(case.subject), |sample| sample.per_second)?;
        Some((ratio.median - 1.0).abs())
    });
    again.fold(0.0, f64::max)
}

/// Ours beside bare tonic: nothing that is on may cost what it would be left out for.
fn figures(peaks: &Samples, fixed: &Samples, noise: f64) -> Vec<Figure> {
    let mut figures = Vec::new();
    let ours = peaks.all().map(|(case, _)| case).filter(|case| case.subject != Subject::Bare);
    for case in ours {
        let bare = case.on(Subject::Bare);
        let mut add = |what: &str, of: &Samples, value: fn(&Sample) -> f64, goal| {
            let Case { method, engine, subject, .. } = case;
            let name = format!("{what}-to-bare/{method}/{engine}/{subject}");
            let Some(ratio) = of.ratio(case, bare, value) else {
                return figures.push(Figure::missing(name, goal, "not measured"));
            };
            let refused = of.of(case, |sample| 100.0 * sample.refused).map_or(0.0, |refused| refused.median);
            let note = if refused > 0.0 { format!("{refused:.2} % refused") } else { String::new() };
            figures.push(Figure::measured(name, ratio.blurred(noise), goal).note(note));
        };
        add("calls-per-second", peaks, |sample| sample.per_second, Goal::AtLeast(1.0));
        add("services-cpu", peaks, Sample::services, Goal::AtMost(1.0));
        add("p99.9", fixed, |sample| sample.p999, Goal::AtMost(1.0));
    }
    figures
}

/// What each shop serves at the most, beside bare tonic.
fn draw(out: &Path, peaks: &Samples) -> Result<()> {
    let cases = peaks.all().map(|(case, _)| case).filter(|case| !case.is_again);
    let bars: Vec<Bar> = cases
        .filter_map(|case| {
            let value = peaks.ratio(case, case.on(Subject::Bare), |sample| sample.per_second)?;
            Some(Bar { name: case.to_string(), value, is_ours: case.subject != Subject::Bare })
        })
        .collect();
    plot::bars(&out.join("shop.svg"), "The shop on one processor", "times the calls a second of bare tonic", &bars)
}
