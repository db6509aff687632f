//! The axis of time, and a span's bar on it.

use crate::text::{self, Page, Style};
use crate::trace::Span;

/// Of a whole trace.
pub(super) struct Axis {
    pub(super) start_ns: u64,
    duration_ns: u64,
}

impl Axis {
    pub(super) fn new(start_ns: u64, duration_ns: u64) -> Self {
        Self { start_ns, duration_ns }
    }

    /// The times at the quarters (or halves) of the axis, and at its end.
    pub(super) fn ruler(&self, columns: usize) -> String {
        let parts: usize = match (self.duration_ns, columns) {
            (0, _) => 0,
            (_, ..60) => 2,
            _ => 4,
        };
        let mut ruler = "0".to_owned();
        for part in 1..=parts {
            let at_ns = u128::from(self.duration_ns) * part as u128 / parts as u128;
            let label = text::duration(u64::try_from(at_ns).unwrap_or(u64::MAX));
            // A label ends where its moment is, so that the last one is within the picture.
            let room = (columns * part / parts).saturating_sub(text::width(&ruler));
            if room > text::width(&label) {
                ruler.push_str(&text::pad_start(&label, room));
            }
        }
        ruler
    }

    /// Draws a bar in half columns, at least one, with `◆` where its events are.
    pub(super) fn bar(&self, page: &mut Page, span: &Span, columns: usize, style: Style) {
        let halves = columns as u128 * 2;
        let first = self.at(span.start_ns, halves).min(halves - 1);
        let end = self.at_end(span.end_ns(), halves).clamp(first + 1, halves);
        let mut cells: Vec<char> = (0..columns as u128)
            .map(|cell| {
                let covers = |half: u128| (first..end).contains(&half);
                match (covers(cell * 2), covers(cell * 2 + 1)) {
                    (true, true) => '━',
                    (true, false) => '╸',
                    (false, true) => '╺',
                    (false, false) => ' ',
                }
            })
            .collect();
        for event in &span.events {
            let cell = self.at(event.time_ns, columns as u128).min(columns as u128 - 1);
            // Clocks and senders may put an event outside of its span, where it would be misread.
            if let Some(cell) =
                usize::try_from(cell).ok().and_then(|cell| cells.get_mut(cell)).filter(|cell| **cell != ' ')
            {
                *cell = '◆';
            }
        }
        let shown = cells.iter().rposition(|cell| *cell != ' ').map_or(0, |last| last + 1);
        for run in cells[..shown].chunk_by(|a, b| (*a == '◆') == (*b == '◆')) {
            let style = if run[0] == '◆' { Style::Bold } else { style };
            page.put(style, &run.iter().collect::<String>());
        }
    }

    /// Which of so many steps of the axis a moment is in; the number of steps for its end.
    fn at(&self, time_ns: u64, steps: u128) -> u128 {
        let since_ns = u128::from(time_ns.saturating_sub(self.start_ns));
        (since_ns * steps).checked_div(u128::from(self.duration_ns)).unwrap_or_default().min(steps)
    }

    /// As `at`, with a step that is reached at all counted as a whole.
    fn at_end(&self, time_ns: u64, steps: u128) -> u128 {
        let since_ns = u128::from(time_ns.saturating_sub(self.start_ns));
        let duration_ns = u128::from(self.duration_ns);
        if duration_ns == 0 { 1 } else { (since_ns * steps).div_ceil(duration_ns).min(steps) }
    }
}
