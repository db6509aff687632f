//! What is written below a span: what its status says, and its events.

use crate::text::{self, Page, Style};
use crate::trace::{Event, Span};

/// Events of one span that are shown.
const EVENTS_SHOWN_MAX: usize = 20;
/// Where in the code an event was made, and what repeats the line or is too long for one.
const OMITTED: [&str; 6] = ["target", "level", "busy_ns", "idle_ns", "exception.stacktrace", "exception.escaped"];
const OMITTED_PREFIXES: [&str; 2] = ["code.", "thread."];
/// Lines that one event may have: the numbers behind a decision are what it is read for.
const EVENT_LINES_MAX: usize = 4;
/// How much further to the right the second line of an event begins.
const INDENT: &str = "    ";

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
        let rest = heading(page, event, start_ns, room);
        for (index, line) in broken(&attributes(event, span, room), rest, room).iter().enumerate() {
            if index > 0 {
                page.end_line();
                page.put(Style::Dim, guides);
                page.put(Style::Plain, INDENT);
            }
            page.put(Style::Dim, line);
        }
        page.end_line();
    }
    if let Some(hidden @ 1..) = span.events.len().checked_sub(EVENTS_SHOWN_MAX) {
        page.put(Style::Dim, guides);
        page.put(Style::Dim, &format!("… {}", text::count(hidden as u64, "more event")));
        page.end_line();
    }
}

/// When it was, and its name. Returns the columns that are left in the line.
fn heading(page: &mut Page, event: &Event, start_ns: u64, room: usize) -> usize {
    let is_error = event.name == "exception" || level(event) == Some("ERROR");
    let sign = if event.time_ns < start_ns { '-' } else { '+' };
    let at = format!("◆ {sign}{}  ", text::duration(event.time_ns.abs_diff(start_ns)));
    let at = text::cut_end(&at, room);
    let name = text::cut_end(&text::escape(&event.name), room - text::width(&at));
    page.put(Style::Dim, &at);
    page.put(
        match level(event) {
            _ if is_error => Style::Red,
            Some("WARN") => Style::Yellow,
            _ => Style::Plain,
        },
        &name,
    );
    room - text::width(&at) - text::width(&name)
}

/// The attributes that are worth their place, each after two spaces.
fn attributes(event: &Event, span: &Span, room: usize) -> String {
    // What is past the last line is not worth the work: a value may have megabytes.
    let most = room * EVENT_LINES_MAX;
    let mut attributes = String::new();
    for (key, value) in &event.attributes {
        let is_omitted =
            OMITTED.contains(&key.as_str()) || OMITTED_PREFIXES.iter().any(|prefix| key.starts_with(prefix));
        // The line above has it already: the method, as a rule.
        if !is_omitted && *value != span.name && attributes.len() < most * 4 {
            let value: String = value.chars().take(most).collect();
            attributes.push_str(&format!("  {}={}", text::escape(key), text::escape(&value)));
        }
    }
    attributes
}

/// Breaks text at its spaces: `first` columns, then lines of `room` that are indented. The last line
/// is cut.
fn broken(text: &str, first: usize, room: usize) -> Vec<String> {
    let (mut lines, mut columns) = (vec![String::new()], first);
    for word in text.split_inclusive(' ') {
        let line = lines.last().map_or("", |line| line);
        let begins = lines.len() > 1 && line.is_empty();
        let is_full = text::width(line) + text::width(word.trim_end()) > columns;
        // The gap between two attributes is not for the beginning of a line.
        let is_gap = word == " ";
        if is_gap && begins {
            continue;
        }
        if is_full && !begins && !is_gap && lines.len() < EVENT_LINES_MAX {
            lines.push(String::new());
            columns = room.saturating_sub(INDENT.len());
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(word);
        }
    }
    let indented = room.saturating_sub(INDENT.len());
    let cut =
        |(index, line): (usize, String)| text::cut_end(line.trim_end(), if index == 0 { first } else { indented });
    lines.into_iter().enumerate().map(cut).collect()
}

fn level(event: &Event) -> Option<&str> {
    event.attributes.iter().find(|(key, _)| key == "level").map(|(_, level)| level.as_str())
}
