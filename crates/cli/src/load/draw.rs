//! The histogram of latencies, drawn with characters.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::call::time;

const ROWS_MAX: usize = 14;
/// Where a row ends: each about half as much again as the last.
const STEPS: [f64; 6] = [1.0, 1.5, 2.0, 3.0, 5.0, 7.0];

/// One row a range of times, with a bar and the number of calls in it. Times are in microseconds; the bars are at
/// most `width` wide.
pub(super) fn rows(micros: &Histogram<u64>, width: usize) -> Vec<String> {
    if micros.is_empty() {
        return Vec::new();
    }
    let bounds = bounds(micros.min().max(1), micros.max().max(1));
    let mut counts = Vec::new();
    let mut from = 0;
    for to in &bounds {
        counts.push(micros.count_between(from, to.saturating_sub(1).max(from)));
        from = *to;
    }
    let most = counts.iter().copied().max().unwrap_or(1).max(1);
    let labels: Vec<String> = bounds.iter().map(|to| format!("< {}", time(Duration::from_micros(*to)))).collect();
    let label_width = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    let row = |(label, count): (&String, &u64)| {
        let bar = bar(*count as f64 / most as f64 * width as f64);
        let share = *count as f64 / micros.len() as f64 * 100.0;
        let line = format!("{label:>label_width$}  {bar:width$}  {count:>8}  {share:5.1} %");
        line
    };
    labels.iter().zip(&counts).map(row).collect()
}

/// The upper ends of ranges, in microseconds, that cover all times: round numbers, as many as there are rows.
fn bounds(min: u64, max: u64) -> Vec<u64> {
    let mut bounds = Vec::new();
    let mut decade = 1.0;
    while bounds.last().is_none_or(|last| *last <= max) {
        for step in STEPS {
            // A number of microseconds fits, since times are an hour at most.
            let bound = (step * decade) as u64;
            let is_new = bounds.last().is_none_or(|last| *last < bound);
            if bound > min && is_new && bounds.last().is_none_or(|last| *last <= max) {
                bounds.push(bound);
            }
        }
        decade *= 10.0;
    }
    // Every second one, until they are few enough; the last one stays, so that all times are below it.
    while bounds.len() > ROWS_MAX {
        let last = bounds.len() - 1;
        bounds =
            bounds.iter().enumerate().filter(|(index, _)| (last - index) % 2 == 0).map(|(_, bound)| *bound).collect();
    }
    bounds
}

/// As long as it should be to an eighth of a character; what is there is seen.
fn bar(length: f64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (length * 8.0).round() as usize;
    let eighths = if length > 0.0 { eighths.max(1) } else { 0 };
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_in_a_row_and_the_rows_are_few() {
        for micros in [vec![1], vec![7, 7, 7], vec![1, 3_600_000_000], (1..5_000).collect()] {
            let mut histogram = Histogram::<u64>::new_with_max(3_600_000_000, 3).unwrap();
            micros.iter().for_each(|value| histogram.record(*value).unwrap());
            let rows = rows(&histogram, 20);
            assert!(rows.len() <= ROWS_MAX, "{rows:#?}");
            let counted: usize =
                rows.iter().map(|row| row.split_whitespace().rev().nth(2).unwrap().parse::<usize>().unwrap()).sum();
            assert_eq!(counted, micros.len(), "{rows:#?}");
        }
    }

    #[test]
    fn bars_are_as_long_as_there_are_calls() {
        let mut histogram = Histogram::<u64>::new_with_max(3_600_000_000, 3).unwrap();
        [(1_200, 40), (1_700, 20), (6_000, 1)]
            .iter()
            .for_each(|(micros, times)| histogram.record_n(*micros, *times).unwrap());
        let expected = [
            "< 1.5 ms  ████████        40   65.6 %",
            "< 2.0 ms  ████            20   32.8 %",
            "< 3.0 ms                   0    0.0 %",
            "< 5.0 ms                   0    0.0 %",
            "< 7.0 ms  ▎                1    1.6 %",
        ];
        assert_eq!(rows(&histogram, 8), expected);
    }
}
