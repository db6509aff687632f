//! What happened, in order: a line for each call, fault and line of the services' logs.
//!
//! The hash of the journal tells two runs apart.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// After so many a run has shown what is wrong.
const VIOLATIONS_MAX: usize = 5;

/// The journal. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Journal(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    /// Print each line as it comes.
    show: bool,
    now: Duration,
    hash: u64,
    lines: u64,
    violations: Vec<String>,
}

impl Journal {
    pub(crate) fn new(show: bool) -> Self {
        let inner = Inner { show, now: Duration::ZERO, hash: 0xcbf2_9ce4_8422_2325, lines: 0, violations: Vec::new() };
        Self(Arc::new(Mutex::new(inner)))
    }

    /// Outside of the hosts the clock is set by hand.
    pub(crate) fn set_now(&self, now: Duration) {
        self.lock().now = now;
    }

    /// Adds a line.
    pub(crate) fn note(&self, who: &str, what: impl fmt::Display) {
        let mut inner = self.lock();
        let now = turmoil::sim_elapsed().unwrap_or(inner.now);
        let line = format!("{:9.3} {who:<8} {what}", now.as_secs_f64());
        // FNV-1a: it finds differences, and need not withstand an attacker.
        for byte in line.bytes().chain([b'\n']) {
            inner.hash = (inner.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        inner.lines += 1;
        if inner.show {
            println!("{line}");
        }
    }

    /// Adds a line about something that must not be.
    pub(crate) fn violation(&self, what: impl fmt::Display) {
        let what = what.to_string();
        self.note("CHECK", format_args!("VIOLATED: {what}"));
        let mut inner = self.lock();
        if inner.violations.len() < VIOLATIONS_MAX {
            inner.violations.push(what);
        }
    }

    /// Whether the run need not go on.
    pub(crate) fn is_lost(&self) -> bool {
        self.lock().violations.len() >= VIOLATIONS_MAX
    }

    /// What must not have been, and the hash of all lines.
    pub(crate) fn finish(&self) -> (Vec<String>, u64) {
        let inner = self.lock();
        (inner.violations.clone(), inner.hash)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what the services log into the journal, under the name of the host.
pub(crate) struct Logs {
    journal: Journal,
    /// The host whose turn it is.
    host: Mutex<String>,
}

impl Logs {
    pub(crate) fn new(journal: Journal) -> Self {
        Self { journal, host: Mutex::new(String::new()) }
    }
}

/// The target of turmoil, which opens a span for each host's turn.
const TURMOIL: &str = "turmoil";

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Logs {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        let is_turmoil = metadata.target().starts_with(TURMOIL);
        if metadata.is_span() { is_turmoil } else { !is_turmoil && *metadata.level() <= Level::INFO }
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        if attributes.metadata().name() == "node" {
            let mut text = Text::default();
            attributes.record(&mut text);
            *self.host.lock().unwrap_or_else(PoisonError::into_inner) = text.name;
        }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let host = self.host.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let level = event.metadata().level();
        self.journal.note(&host, format_args!("{level} {}{}", text.message, text.fields));
    }
}

#[derive(Debug, Default)]
struct Text {
    name: String,
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "name" {
            value.clone_into(&mut self.name);
        }
        self.record_debug(field, &value);
    }
}
