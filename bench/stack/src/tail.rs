//! How long the slowest calls take, at a rate that stock tonic can serve.

use std::time::Duration;

use anyhow::Result;
use harness::{Figure, Goal, Rounds, latency, pinned, table};

use crate::subjects::{CLIENT_CORE, Programs, Sampled, Subject, USUAL, call};

/// What of stock tonic's peak the rate is.
const SHARE: f64 = 0.7;
const WARM_UP: Duration = Duration::from_millis(500);
const TIME: Duration = Duration::from_secs(3);

/// The 99.9th percentile beside that of stock tonic, built and run alike, whose peak is `peak` calls a second.
pub(crate) fn figure(programs: &Programs, rounds: usize, peak: Option<f64>) -> Result<Figure> {
    let [one, all] = [Sampled::OnePercent, Sampled::All].map(Subject::Ours);
    let subjects = [Subject::ALIKE, one, all];
    let (name, goal) = ("p99.9-to-bare-alike", Goal::AtMost(1.0));
    let Some(peak) = peak else { return Ok(Figure::missing(name, goal, "stock tonic's peak was not measured")) };
    let rate = SHARE * peak;
    let collector = programs.collector()?;
    let measured = Rounds::take(&subjects, rounds, |subject| {
        // The load shares its processor with the collector, and comes in bursts when that has been busy: no limit
        // of ours is to refuse what the others serve.
        let program = programs.server(*subject, collector.address)?;
        let program = program.env("SEAWALL_SERVER_CONCURRENCY_LIMIT", "fixed");
        let (server, address) = program.env("SEAWALL_SERVER_CONCURRENCY_MAX", "1000").serve()?;
        let at_rate = |time| pinned(CLIENT_CORE, || latency::at_rate(address, &call(), USUAL.connections, rate, time));
        at_rate(WARM_UP)?;
        let latencies = at_rate(TIME)?;
        server.end()?;
        Ok(latencies.percentile(0.999).as_secs_f64() * 1e6)
    });
    let measured = match measured {
        Ok(measured) => measured,
        // Where the load and the server do not have a processor each.
        Err(error) => return Ok(Figure::missing(name, goal, format!("{error:#}"))),
    };
    let rows: Vec<_> = subjects
        .iter()
        .filter_map(|subject| {
            let (value, ratio) = (measured.of(subject)?, measured.ratio(subject, &Subject::ALIKE)?);
            Some([
                subject.to_string(),
                format!("{:.0}", value.median),
                format!("{:.2}", ratio.median),
                format!("{:.2} to {:.2}", ratio.low, ratio.high),
            ])
        })
        .collect();
    println!("{}", table(["server", "p99.9 in µs", "to bare's", "spread"], &rows));
    Ok(match measured.ratio(&one, &Subject::ALIKE) {
        Some(ratio) => Figure::measured(name, ratio, goal).note(format!("at {rate:.0} calls a second")),
        None => Figure::missing(name, goal, "not measured"),
    })
}
