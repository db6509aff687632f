//! A list of traces as a table.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::text::{self, Page, Style};
use crate::trace::TraceSummary;

const GAP: &str = "  ";
/// From this width on trace ids are written in full.
const WIDE: usize = 120;
const SHORT_ID: usize = 16;
const ROOT_COLUMNS_MIN: usize = 16;
const SERVICES_COLUMNS_MAX: usize = 28;

/// Draws a table for a terminal of `width` columns, one line a trace, in the order given: when it
/// started, how long it took, its id (16 digits of it where the terminal is narrow, which are enough
/// to ask for the trace), root, services, spans and errors. Empty for no traces.
pub fn table(summaries: &[TraceSummary], now: SystemTime, width: usize, colour: bool) -> String {
    let mut page = Page::new(colour);
    if summaries.is_empty() {
        return page.text;
    }
    let rows: Vec<[String; 7]> = summaries.iter().map(|summary| cells(summary, now, width)).collect();
    let heads = ["STARTED", "DURATION", "TRACE", "ROOT", "SERVICES", "SPANS", "ERRORS"];
    let mut widths = heads.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = text::width(cell).max(*width);
        }
    }
    let [.., root, services, _, _] = &mut widths;
    *services = (*services).min(SERVICES_COLUMNS_MAX);
    let root_wanted = std::mem::take(root);
    let taken = widths.iter().sum::<usize>() + GAP.len() * (widths.len() - 1);
    widths[3] = root_wanted.min(width.saturating_sub(taken)).max(ROOT_COLUMNS_MIN);
    line(&mut page, &heads.map(str::to_owned), widths, [Style::Dim; 7]);
    for (row, summary) in rows.iter().zip(summaries) {
        let failed = summary.errors > 0;
        let errors = if failed { Style::Red } else { Style::Dim };
        let root = if failed { Style::Red } else { Style::Bold };
        line(
            &mut page,
            row,
            widths,
            [Style::Dim, Style::Plain, Style::Plain, root, Style::Plain, Style::Plain, errors],
        );
    }
    page.text
}

fn cells(summary: &TraceSummary, now: SystemTime, width: usize) -> [String; 7] {
    let id = &summary.trace_id;
    let short = id.get(..SHORT_ID).filter(|short| width < WIDE && short.bytes().any(|digit| digit != b'0'));
    [
        ago(now, UNIX_EPOCH + Duration::from_nanos(summary.start_ns)),
        text::duration(summary.duration_ns),
        // Ids of 64 bits come with zeros before them, which tell nothing apart.
        text::escape(short.unwrap_or(id)),
        text::escape(&summary.root_name),
        text::escape(&summary.services.join(", ")),
        summary.spans.to_string(),
        if summary.errors == 0 { "-".to_owned() } else { summary.errors.to_string() },
    ]
}

fn line(page: &mut Page, cells: &[String; 7], widths: [usize; 7], styles: [Style; 7]) {
    for (column, (cell, (width, style))) in cells.iter().zip(widths.into_iter().zip(styles)).enumerate() {
        if column > 0 {
            page.put(Style::Plain, GAP);
        }
        let cut = text::cut_name(cell, width);
        // Numbers end at the same column.
        let is_number = matches!(column, 1 | 5 | 6);
        page.put(style, &if is_number { text::pad_start(&cut, width) } else { text::pad(&cut, width) });
    }
    page.end_line();
}

/// `3 s ago` up to a day, then the date.
fn ago(now: SystemTime, start: SystemTime) -> String {
    match now.duration_since(start).map(|past| past.as_secs()) {
        // Clocks differ a little between machines.
        Err(_) | Ok(0) => "now".to_owned(),
        Ok(seconds @ 1..60) => format!("{seconds} s ago"),
        Ok(seconds @ 60..3_600) => format!("{} min ago", seconds / 60),
        Ok(seconds @ 3_600..86_400) => format!("{} h ago", seconds / 3_600),
        Ok(_) => {
            humantime::format_rfc3339_seconds(start).to_string().chars().take(16).collect::<String>().replace('T', " ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, TraceSummary, UNIX_EPOCH, table};

    fn summary(trace_id: &str, start_s: u64, errors: u64) -> TraceSummary {
        TraceSummary {
            trace_id: trace_id.to_owned(),
            root_name: "seawall.order.v1.OrderService/PlaceOrder".into(),
            root_service: "order".into(),
            start_ns: start_s * 1_000_000_000,
            duration_ns: 18_440_000,
            spans: 9,
            errors,
            services: vec!["order".into(), "user".into()],
        }
    }

    #[test]
    fn a_narrow_table_keeps_the_method() {
        let now = UNIX_EPOCH + Duration::from_secs(100_000);
        let rows = [
            summary("5b8aa5a2d2c872e8321cf37308d69df2", 99_997, 0),
            summary("0000000000000000321cf37308d69df2", 50_000, 2),
            summary("6b8aa5a2d2c872e8321cf37308d69df2", 0, 0),
        ];
        let expected = "\
STARTED           DURATION  TRACE                             ROOT              SERVICES     SPANS  ERRORS
3 s ago            18.4 ms  5b8aa5a2d2c872e8                  …vice/PlaceOrder  order, user      9       -
13 h ago           18.4 ms  0000000000000000321cf37308d69df2  …vice/PlaceOrder  order, user      9       2
1970-01-01 00:00   18.4 ms  6b8aa5a2d2c872e8                  …vice/PlaceOrder  order, user      9       -
";
        assert_eq!(table(&rows, now, 100, false), expected);
        assert_eq!(table(&[], now, 100, false), "");
    }

    #[test]
    fn a_wide_table_has_whole_ids() {
        let now = UNIX_EPOCH + Duration::from_secs(100_000);
        let expected = "\
STARTED  DURATION  TRACE                             ROOT                                      SERVICES     SPANS  ERRORS
now       18.4 ms  5b8aa5a2d2c872e8321cf37308d69df2  seawall.order.v1.OrderService/PlaceOrder  order, user      9       -
";
        assert_eq!(table(&[summary("5b8aa5a2d2c872e8321cf37308d69df2", 100_001, 0)], now, 140, false), expected);
    }
}
