//! A trace as a picture in text: a tree of spans, each with its bar on the common axis of time.

mod bar;
mod event;
mod tree;

use std::time::{Duration, UNIX_EPOCH};

use self::bar::Axis;
use self::tree::{Node, Place};
use crate::text::{self, Page, Style};
use crate::trace::{Span, Trace};

/// Spans that are drawn; a longer picture is not read.
const SPANS_SHOWN_MAX: usize = 500;
/// A terminal narrower than this gets lines that it has to break.
const WIDTH_MIN: usize = 40;
/// Without room for so many columns there are no bars.
const BAR_COLUMNS_MIN: usize = 12;
const NAME_COLUMNS_MIN: usize = 16;
const SERVICE_COLUMNS_MAX: usize = 16;
/// Between two columns of the picture.
const GAP: &str = "  ";

impl Trace {
    /// Draws the trace for a terminal of `width` columns: a header, and for each span its name under
    /// its parent's, service, code, duration and bar, and below it what its status says and its
    /// events. Ends with a line break. Colours are terminal sequences; nothing of what the spans say
    /// gets to the terminal as a sequence.
    ///
    /// Spans whose parent is not in the trace, or whose parents lead in a circle, stand as roots with
    /// a mark that the last lines explain. After 500 spans it says how many are left.
    pub fn waterfall(&self, width: usize, colour: bool) -> String {
        let mut page = Page::new(colour);
        let nodes = tree::order(&self.spans);
        let shown = &nodes[..nodes.len().min(SPANS_SHOWN_MAX)];
        let services = self.services();
        self.header(&mut page, &services);
        if shown.is_empty() {
            return page.text;
        }
        let axis = Axis::new(self.start_ns(), self.duration_ns());
        let columns = Columns::fit(&self.spans, shown, width.max(WIDTH_MIN));
        page.end_line();
        columns.ruler(&mut page, &axis);
        for node in shown {
            let span = &self.spans[node.index];
            let service = services.iter().position(|service| *service == span.service).unwrap_or_default();
            columns.span(&mut page, span, node, &axis, Style::Service(service));
            event::lines(&mut page, span, &columns.guides_below(node), axis.start_ns, columns.width);
        }
        self.footer(&mut page, &nodes);
        page.text
    }

    fn header(&self, page: &mut Page, services: &[&str]) {
        page.put(Style::Dim, "trace ");
        page.put(Style::Bold, &text::escape(&self.trace_id));
        page.end_line();
        page.put(Style::Bold, &text::duration(self.duration_ns()));
        page.put(Style::Dim, " · ");
        page.put(Style::Plain, &text::count(self.spans.len() as u64, "span"));
        for (index, service) in services.iter().enumerate() {
            page.put(Style::Dim, if index == 0 { " · " } else { ", " });
            page.put(Style::Service(index), &text::escape(service));
        }
        if self.errors() > 0 {
            page.put(Style::Dim, " · ");
            page.put(Style::Red, &text::count(self.errors() as u64, "error"));
        }
        page.put(Style::Dim, " · ");
        let start = UNIX_EPOCH + Duration::from_nanos(self.start_ns());
        page.put(Style::Dim, &humantime::format_rfc3339_millis(start).to_string());
        page.end_line();
    }

    fn footer(&self, page: &mut Page, nodes: &[Node]) {
        let (shown, hidden) = nodes.split_at(nodes.len().min(SPANS_SHOWN_MAX));
        if !hidden.is_empty() {
            let errors = hidden.iter().filter(|node| self.spans[node.index].is_error()).count() as u64;
            page.put(Style::Bold, &format!("… {} not shown", text::count(hidden.len() as u64, "more span")));
            if errors > 0 {
                page.put(Style::Red, &format!(", with {}", text::count(errors, "error")));
            }
            page.end_line();
        }
        let explained = [
            (Place::ParentMissing, "the parent is not here, or not yet"),
            (Place::Cycle, "the parents lead in a circle"),
        ];
        let used = explained.iter().filter(|(place, _)| shown.iter().any(|node| node.place == *place));
        for (index, (place, meaning)) in used.enumerate() {
            if index == 0 {
                page.end_line();
            }
            page.put(Style::Yellow, mark(*place));
            page.put(Style::Dim, meaning);
            page.end_line();
        }
    }
}

/// Where each part of a line stands, in terminal columns.
struct Columns {
    width: usize,
    name: usize,
    service: usize,
    code: usize,
    duration: usize,
    /// Zero where there is no room for bars.
    bar: usize,
    /// Levels of the tree that are drawn; deeper spans stand no further to the right.
    levels_max: usize,
}

impl Columns {
    /// Gives names what they need, but bars keep at least three tenths of the width.
    fn fit(spans: &[Span], shown: &[Node], width: usize) -> Self {
        let spans = || shown.iter().map(|node| &spans[node.index]);
        let widest = |widths: &mut dyn Iterator<Item = usize>| widths.max().unwrap_or_default();
        let mut columns = Self {
            width,
            name: 0,
            service: widest(&mut spans().map(|span| text::width(&text::escape(&span.service))))
                .clamp(1, SERVICE_COLUMNS_MAX),
            code: widest(&mut spans().map(|span| text::width(&code(span)))).min(width / 5),
            duration: widest(&mut spans().map(|span| text::width(&text::duration(span.duration_ns)))),
            bar: 0,
            levels_max: (width / 18).clamp(2, tree::LEVELS_MAX),
        };
        let mut names = shown.iter().zip(spans()).map(|(node, span)| {
            text::width(&columns.guides(node)) + text::width(mark(node.place)) + text::width(&text::escape(&span.name))
        });
        let wanted = widest(&mut names);
        let taken: usize = columns.parts().iter().filter(|part| **part > 0).map(|part| part + GAP.len()).sum();
        let free = width.saturating_sub(taken);
        let most = free.saturating_sub(NAME_COLUMNS_MIN + GAP.len());
        let bar_least = (width * 3 / 10).min(most).max(BAR_COLUMNS_MIN) + GAP.len();
        if free >= bar_least + NAME_COLUMNS_MIN {
            columns.name = wanted.min(free - bar_least).max(NAME_COLUMNS_MIN);
            columns.bar = free - columns.name - GAP.len();
        } else {
            columns.name = free.max(NAME_COLUMNS_MIN);
        }
        columns
    }

    fn parts(&self) -> [usize; 3] {
        [self.service, self.code, self.duration]
    }

    fn ruler(&self, page: &mut Page, axis: &Axis) {
        if self.bar == 0 {
            return;
        }
        let before: usize =
            self.name + self.parts().iter().filter(|part| **part > 0).map(|part| part + GAP.len()).sum::<usize>();
        page.put(Style::Plain, &" ".repeat(before + GAP.len()));
        page.put(Style::Dim, &axis.ruler(self.bar));
        page.end_line();
    }

    fn span(&self, page: &mut Page, span: &Span, node: &Node, axis: &Axis, service: Style) {
        let (guides, mark) = (self.guides(node), mark(node.place));
        page.put(Style::Dim, &guides);
        page.put(Style::Yellow, mark);
        let room = self.name.saturating_sub(text::width(&guides) + text::width(mark));
        let name = text::cut_name(&text::escape(&span.name), room);
        page.put(if span.is_error() { Style::Red } else { Style::Plain }, &text::pad(&name, room));
        page.put(Style::Plain, GAP);
        page.put(service, &text::pad(&text::cut_end(&text::escape(&span.service), self.service), self.service));
        if self.code > 0 {
            let code = code(span);
            let style = match code.as_str() {
                _ if span.is_error() => Style::Red,
                "OK" => Style::Dim,
                _ => Style::Yellow,
            };
            page.put(Style::Plain, GAP);
            page.put(style, &text::pad(&text::cut_end(&code, self.code), self.code));
        }
        page.put(Style::Plain, GAP);
        page.put(Style::Plain, &text::pad_start(&text::duration(span.duration_ns), self.duration));
        if self.bar > 0 {
            page.put(Style::Plain, GAP);
            axis.bar(page, span, self.bar, if span.is_error() { Style::Red } else { service });
        }
        page.end_line();
    }

    /// What stands before the name of a span.
    fn guides(&self, node: &Node) -> String {
        let Some(own) = node.follows.last() else { return String::new() };
        let mut guides = self.above(node);
        guides.push_str(if *own { "├─ " } else { "└─ " });
        guides
    }

    /// What stands before a line that belongs to a span: the tree goes on through it.
    fn guides_below(&self, node: &Node) -> String {
        let mut guides = match node.follows.last() {
            None => String::new(),
            Some(follows) => self.above(node) + if *follows { "│  " } else { "   " },
        };
        guides.push_str(if node.has_children { "│  " } else { "  " });
        guides
    }

    fn above(&self, node: &Node) -> String {
        let levels = &node.follows[..node.follows.len().saturating_sub(1)];
        let cut = node.depth > self.levels_max;
        let shown = &levels[levels.len().saturating_sub(self.levels_max - 1 - usize::from(cut))..];
        let guides = shown.iter().map(|follows| if *follows { "│  " } else { "   " });
        std::iter::once("⋯  ").filter(|_| cut).chain(guides).collect()
    }
}

/// The usual end of a span without a code needs no word.
fn code(span: &Span) -> String {
    if span.code == "UNSET" { String::new() } else { text::escape(&span.code) }
}

fn mark(place: Place) -> &'static str {
    match place {
        Place::Root | Place::Child => "",
        Place::ParentMissing => "┈ ",
        Place::Cycle => "↻ ",
    }
}

#[cfg(test)]
mod tests;
