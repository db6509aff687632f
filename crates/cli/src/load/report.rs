//! What is told of a load, while it goes on and at its end.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anstyle::Style;
use anyhow::Result;
use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};
use tonic::Code;

use super::draw;
use super::tally::{Ended, Summary, Tally};
use crate::call::time;
use crate::terminal::{self, BAD, BOLD, BUSY, DIM, GOOD, Table, styled};

const BAR_WIDTH_MAX: usize = 60;
/// What a row of the histogram has beside its bar.
const BESIDE_BAR: usize = 34;
/// A rate that is less than this share of what was aimed at was not held.
const HELD: f64 = 0.95;
/// Names in JSON, and in the table as they are.
const PERCENTILES: [(&str, f64); 4] = [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9)];

/// A load that has ended.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) target: String,
    pub(super) method: String,
    pub(super) rate: Option<f64>,
    /// What is left of that on average, with the ramp.
    pub(super) rate_average: Option<f64>,
    pub(super) callers: Option<u32>,
    pub(super) elapsed: Duration,
    pub(super) interrupted: bool,
    pub(super) summary: Summary,
    pub(super) is_ours: bool,
}

/// Writes the line of progress over the last one, where that is seen.
pub(super) fn progress(tally: &Tally, elapsed: Duration, of: Duration) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let summary = tally.summary();
    let ok = summary.codes().find(|(code, _)| *code == Code::Ok);
    let p99 =
        ok.map_or("-".to_owned(), |(_, ended)| time(Duration::from_micros(ended.micros.value_at_percentile(99.0))));
    let failed = summary.calls() - summary.succeeded();
    let failed = if failed > 0 { styled(BAD, format!("{failed} failed")) } else { "0 failed".to_owned() };
    let rate = summary.calls() as f64 / elapsed.as_secs_f64().max(0.001);
    let left = of.saturating_sub(elapsed).as_secs();
    let calls = summary.calls();
    let line = format!(
        "{BUSY}{:>12}{BUSY:#} {calls} calls, {rate:.0} a second, {failed}, p99 {p99}, {} in flight, {left} s left",
        "Loading", summary.unfinished
    );
    let _ = write!(anstream::stderr().lock(), "\r\x1b[2K{line}");
}

/// Takes the line of progress away.
pub(super) fn end_progress() {
    if std::io::stderr().is_terminal() {
        let _ = write!(anstream::stderr().lock(), "\r\x1b[2K");
    }
}

impl Report {
    /// Calls that ended, a second.
    fn achieved(&self) -> f64 {
        self.summary.calls() as f64 / self.elapsed.as_secs_f64().max(0.001)
    }

    /// Whether the rate was held, if one was aimed at and you have not ended it.
    fn is_held(&self) -> Option<bool> {
        self.rate_average.filter(|_| !self.interrupted).map(|rate| self.achieved() >= rate * HELD)
    }

    /// As text.
    pub(super) fn print(&self) -> Result<()> {
        let ok = self.summary.codes().find(|(code, _)| *code == Code::Ok).map(|(_, ended)| ended);
        if let Some(ended) = ok {
            let width = terminal::width().saturating_sub(BESIDE_BAR).clamp(10, BAR_WIDTH_MAX);
            terminal::print(styled(BOLD, format!("Latency of calls that ended well, {}", self.counted_from())))?;
            draw::rows(&ended.micros, width).into_iter().try_for_each(terminal::print)?;
            terminal::print("")?;
        }
        let mut headings = vec!["CODE", "CALLS", "MEAN"];
        headings.extend(["P50", "P90", "P99", "P99.9", "MAX"]);
        let mut table = Table::new(&headings);
        for (code, ended) in self.summary.codes() {
            table.row(row(code, ended));
        }
        table.lines().into_iter().try_for_each(terminal::print)?;
        self.remarks()
    }

    fn counted_from(&self) -> &'static str {
        if self.rate.is_some() { "from when they were due" } else { "from when they were sent" }
    }

    fn remarks(&self) -> Result<()> {
        let line = |what: &str, text: &str| terminal::print(format!("{}  {text}", styled(DIM, format!("{what:7}"))));
        terminal::print("")?;
        let aimed = match (self.rate, self.rate_average) {
            (Some(rate), Some(average)) if average < rate => {
                format!(", of {rate} aimed at, {average:.1} with the ramp")
            }
            (Some(rate), _) => format!(", of {rate} aimed at"),
            (None, _) => String::new(),
        };
        let calls = terminal::count(usize::try_from(self.summary.calls())?, "call", "calls");
        line("RATE", &format!("{:.1} a second{aimed}; {calls} in {}", self.achieved(), time(self.elapsed)))?;
        if self.is_held() == Some(false) {
            line("BEHIND", "the rate was not held: the service, or this machine, does not make so many")?;
        }
        for (code, ended) in self.summary.codes().filter(|(code, _)| *code != Code::Ok) {
            let message = if ended.message.is_empty() { "no message" } else { &ended.message };
            line("FAILED", &format!("{}: {message}", seawall_error::code_name(code)))?;
        }
        if self.summary.waited > 0 {
            let text = format!(
                "{} found as many in flight as may be; their wait is in their latency. More may be: --concurrency",
                terminal::count(usize::try_from(self.summary.waited)?, "call", "calls")
            );
            line("WAITED", &text)?;
        }
        if self.interrupted {
            line("ENDED", &format!("by you; {} in flight are not counted", self.summary.unfinished))?;
        }
        if let Some((took, id)) = self.summary.slowest_trace.as_ref().filter(|_| self.is_ours) {
            line("SLOWEST", &format!("{} of those recorded: cargo seawall trace {}", time(*took), &id[..8]))?;
        }
        Ok(())
    }

    /// As one line of JSON.
    pub(super) fn json(&self) -> Value {
        let codes: Map<String, Value> = (self.summary.codes())
            .map(|(code, ended)| (seawall_error::code_name(code).to_owned(), ended.micros.len().into()))
            .collect();
        let latency: Map<String, Value> = (self.summary.codes())
            .map(|(code, ended)| (seawall_error::code_name(code).to_owned(), latency(&ended.micros)))
            .collect();
        json!({
            "target": self.target,
            "method": self.method,
            "rate_aimed": self.rate,
            "rate_achieved": self.achieved(),
            "rate_held": self.is_held(),
            "concurrency": self.callers,
            "duration_seconds": self.elapsed.as_secs_f64(),
            "interrupted": self.interrupted,
            "calls": self.summary.calls(),
            "unfinished": self.summary.unfinished,
            "waited": self.summary.waited,
            "latency_from": if self.rate.is_some() { "due" } else { "sent" },
            "codes": codes,
            "latency_ms": latency,
        })
    }
}

fn row(code: Code, ended: &Ended) -> Vec<(String, Style)> {
    let of = |micros: u64| (time(Duration::from_micros(micros)), Style::new());
    let style = if code == Code::Ok { GOOD } else { BAD };
    // A mean is of whole microseconds, as times are.
    let mean = of(ended.micros.mean() as u64);
    let mut row =
        vec![(seawall_error::code_name(code).to_owned(), style), (ended.micros.len().to_string(), Style::new()), mean];
    row.extend(PERCENTILES.map(|(_, percentile)| of(ended.micros.value_at_percentile(percentile))));
    row.push(of(ended.micros.max()));
    row
}

fn latency(micros: &Histogram<u64>) -> Value {
    let ms = |micros: f64| json!(micros / 1_000.0);
    let mut all = Map::new();
    all.insert("min".to_owned(), ms(micros.min() as f64));
    all.insert("mean".to_owned(), ms(micros.mean()));
    for (name, percentile) in PERCENTILES {
        all.insert(name.to_owned(), ms(micros.value_at_percentile(percentile) as f64));
    }
    all.insert("max".to_owned(), ms(micros.max() as f64));
    all.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_get_percentiles_in_milliseconds_and_whether_the_rate_was_held() {
        let report = Report {
            target: "127.0.0.1:1".into(),
            method: "a.B/C".into(),
            rate: Some(200.0),
            rate_average: Some(200.0),
            callers: None,
            elapsed: Duration::from_secs(10),
            interrupted: false,
            summary: Summary::of((1..=1_000).map(|number| number * 1_000)),
            is_ours: false,
        };
        let json = report.json();
        assert_eq!(json["codes"], json!({"OK": 1_000}));
        let of = |name: &str| json["latency_ms"]["OK"][name].as_f64().unwrap();
        for (name, expected) in
            [("min", 1.0), ("p50", 500.0), ("p90", 900.0), ("p99", 990.0), ("p99.9", 999.0), ("max", 1_000.0)]
        {
            assert!((of(name) / expected - 1.0).abs() < 0.002, "{name}: {json}");
        }
        assert_eq!((&json["rate_achieved"], &json["rate_held"]), (&json!(100.0), &json!(false)));
    }
}
