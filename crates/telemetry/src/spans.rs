//! Spans and events of `tracing`, in calls that are recorded.
//!
//! A span that is entered is the current [`Scope`], as a call is while it is polled: so log lines, errors,
//! decisions and outgoing calls find their ids in one place, whichever of both they are in.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Debug;
use std::mem;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::KeyValue;
use seawall_trace::{Carried, Notes, Scope, SpanId, TraceContext, note};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use crate::encode::unix_nanos;
use crate::export::{self, Finished, Named, What};

thread_local! {
    /// The spans that this thread has entered and not left, each with the scope that was current before.
    static ENTERED: RefCell<Vec<(Id, Scope)>> = const { RefCell::new(Vec::new()) };
}

/// Records the spans that are built while a recorded call runs; outside of one none is to reach it.
pub(crate) struct SpanLayer;

/// A span that has not ended.
struct Open {
    context: TraceContext,
    parent: SpanId,
    carried: Option<Arc<Carried>>,
    start: SystemTime,
    notes: Notes,
    named: Box<Named>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SpanLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, cx: Context<'_, S>) {
        let Some(span) = cx.span(id) else { return };
        // A parent that is named, or else where it is built.
        let named = attributes.parent().and_then(|parent| cx.span(parent));
        let parent = named.and_then(|parent| parent.extensions().get::<Open>().map(|open| open.context));
        let parent = parent.unwrap_or_else(TraceContext::current);
        let mut open = Open {
            context: parent.child(),
            parent: parent.span_id,
            carried: Scope::current_carried(),
            start: SystemTime::now(),
            notes: Notes::default(),
            named: Box::new(Named {
                name: Cow::Borrowed(span.name()),
                kind: INTERNAL,
                status: 0,
                status_message: String::new(),
                attributes: Vec::new(),
            }),
        };
        attributes.record(&mut SpanFields(&mut open.named));
        span.extensions_mut().insert(open);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, cx: Context<'_, S>) {
        with_open(&cx, id, |open| values.record(&mut SpanFields(&mut open.named)));
    }

    fn on_enter(&self, id: &Id, cx: Context<'_, S>) {
        with_open(&cx, id, |open| {
            let scope = Scope::new(open.context).with_carried(open.carried.clone()).recorded();
            let before = scope.replace_current();
            ENTERED.with_borrow_mut(|entered| entered.push((id.clone(), before)));
        });
    }

    fn on_exit(&self, id: &Id, cx: Context<'_, S>) {
        let left = ENTERED.with_borrow_mut(|entered| {
            let at = entered.iter().rposition(|(of, _)| of == id)?;
            let (_, before) = entered.remove(at);
            // Spans are left in another order than they were entered where their guards are dropped so.
            Some(match entered.get_mut(at) {
                Some((_, scope)) => mem::replace(scope, before),
                None => before.replace_current(),
            })
        });
        if let Some(mut scope) = left {
            with_open(&cx, id, |open| open.notes.extend(scope.take_notes()));
        }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if !Scope::is_current_recorded() {
            return;
        }
        let mut fields = EventFields::default();
        event.record(&mut fields);
        let EventFields { message, mut attributes } = fields;
        attributes.push(KeyValue::new("level", event.metadata().level().as_str()));
        note(message, || attributes);
    }

    fn on_close(&self, id: Id, cx: Context<'_, S>) {
        let open = cx.span(&id).and_then(|span: SpanRef<'_, S>| span.extensions_mut().remove::<Open>());
        let Some(Open { context, parent, carried, start, notes, named }) = open else { return };
        let (start, end) = (unix_nanos(start), unix_nanos(SystemTime::now()));
        export::push(&Finished { context, parent, carried, start, end, notes, what: What::Named(named) });
    }
}

fn with_open<S: Subscriber + for<'a> LookupSpan<'a>>(cx: &Context<'_, S>, id: &Id, f: impl FnOnce(&mut Open)) {
    if let Some(span) = cx.span(id)
        && let Some(open) = span.extensions_mut().get_mut()
    {
        f(open);
    }
}

/// `SpanKind`s of OTLP, and a `StatusCode`.
const INTERNAL: u64 = 1;
const SERVER: u64 = 2;
const CLIENT: u64 = 3;
const PRODUCER: u64 = 4;
const CONSUMER: u64 = 5;
const STATUS_OK: u64 = 1;
const STATUS_ERROR: u64 = 2;

/// Fields of a span. `otel.name`, `otel.kind`, `otel.status_code` and `otel.status_description` say what the span is,
/// as they do for `tracing-opentelemetry`.
struct SpanFields<'a>(&'a mut Named);

impl SpanFields<'_> {
    fn text(&mut self, field: &Field, value: Cow<'_, str>) {
        match field.name() {
            "otel.name" => self.0.name = value.into_owned().into(),
            "otel.kind" => {
                self.0.kind = match &*value {
                    "server" => SERVER,
                    "client" => CLIENT,
                    "producer" => PRODUCER,
                    "consumer" => CONSUMER,
                    _ => INTERNAL,
                };
            }
            "otel.status_code" => {
                self.0.status = match &*value {
                    "OK" => STATUS_OK,
                    "ERROR" => STATUS_ERROR,
                    _ => 0,
                };
            }
            "otel.status_description" => self.0.status_message = value.into_owned(),
            name => set(&mut self.0.attributes, KeyValue::new(name, value.into_owned())),
        }
    }
}

/// A field that is recorded again has its new value.
fn set(attributes: &mut Vec<KeyValue>, pair: KeyValue) {
    match attributes.iter_mut().find(|known| known.key == pair.key) {
        Some(known) => *known = pair,
        None => attributes.push(pair),
    }
}

impl Visit for SpanFields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        set(&mut self.0.attributes, KeyValue::new(field.name(), value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        set(&mut self.0.attributes, KeyValue::new(field.name(), value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        set(&mut self.0.attributes, number(field.name(), value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        set(&mut self.0.attributes, KeyValue::new(field.name(), value));
    }
}

/// OTLP has signed numbers alone.
fn number(name: &'static str, value: u64) -> KeyValue {
    i64::try_from(value).map_or_else(|_| KeyValue::new(name, value.to_string()), |value| KeyValue::new(name, value))
}

/// An event's fields, the message apart.
#[derive(Default)]
struct EventFields {
    message: String,
    attributes: Vec<KeyValue>,
}

impl Visit for EventFields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.attributes.push(KeyValue::new(name, format!("{value:?}"))),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = value.to_owned(),
            name => self.attributes.push(KeyValue::new(name, value.to_owned())),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.attributes.push(KeyValue::new(field.name(), value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.attributes.push(KeyValue::new(field.name(), value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.attributes.push(number(field.name(), value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.attributes.push(KeyValue::new(field.name(), value));
    }
}
