//! What is written below a span: what its status says, and its events.

use crate::text::{self, Page, Style};
use crate::trace::{Event, Span};

/// Events of one span that are shown.
const EVENTS_SHOWN_MAX: usize = 20;
/// Where in the code an event was made, and what repeats the line or is too long for one.
const OMITTED: [&str; 6] = ["target", "level", "busy_ns", "idle_ns", "exception.stacktrace", "exception.escaped"];
const OMITTED_PREFIXES: [&str; 2] = ["code.", "thread."];

pub(super) fn lines(page: &mut Page, span: &Span, guides: &str, start_ns: u64, width: usize) {
    let room = width.saturating_sub(text::width(guides));
    if !span.status_message.is_empty() {
        page.put(Style::Dim, guides);
        let style = if span.is_error() { Style::Red } else { Style::Plain };
        page.put(style, &text::cut_end(&format!("✗ {}", text::escape(&span.status_message)), room));
        page.end_line();
    }
    for event in span.events.iter().take(EVENTS_SHOWN_MAX) {
        page.put(Style::Dim, guides);
        line(page, event, start_ns, room);
        page.end_line();
    }
    if let Some(hidden @ 1..) = span.events.len().checked_sub(EVENTS_SHOWN_MAX) {
        page.put(Style::Dim, guides);
        page.put(Style::Dim, &format!("… {}", text::count(hidden as u64, "more event")));
        page.end_line();
    }
}

fn line(page: &mut Page, event: &Event, start_ns: u64, room: usize) {
    let is_error = event.name == "exception" || level(event) == Some("ERROR");
    let sign = if event.time_ns < start_ns { '-' } else { '+' };
    let at = format!("◆ {sign}{}  ", text::duration(event.time_ns.abs_diff(start_ns)));
    let at = text::cut_end(&at, room);
    let name = text::cut_end(&text::escape(&event.name), room - text::width(&at));
    let left = room - text::width(&at) - text::width(&name);
    page.put(Style::Dim, &at);
    page.put(
        match level(event) {
            _ if is_error => Style::Red,
            Some("WARN") => Style::Yellow,
            _ => Style::Plain,
        },
        &name,
    );
    let mut attributes = String::new();
    for (key, value) in &event.attributes {
        let is_omitted =
            OMITTED.contains(&key.as_str()) || OMITTED_PREFIXES.iter().any(|prefix| key.starts_with(prefix));
        // What is past the edge is not worth the work: a value may have megabytes.
        if !is_omitted && attributes.len() < left * 4 {
            let value: String = value.chars().take(left).collect();
            attributes.push_str(&format!("  {}={}", text::escape(key), text::escape(&value)));
        }
    }
    page.put(Style::Dim, &text::cut_end(&attributes, left));
}

fn level(event: &Event) -> Option<&str> {
    event.attributes.iter().find(|(key, _)| key == "level").map(|(_, level)| level.as_str())
}
