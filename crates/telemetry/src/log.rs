//! Log lines: JSON for machines, one readable line for people. Both carry the trace and span id.
//!
//! The lines of calls ([`call`]) do not pass through `tracing`: there is one for every call.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanContext, TraceContextExt as _, TraceFlags, TraceState};
use seawall_error::code_name;
use seawall_trace::{SpanId, TraceContext, TraceId};
use serde_json::Value;
use tonic::Code;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::lines::Lines;

/// One JSON object a line: timestamp, level, target, message, service, `trace_id` and `span_id` of
/// the call, then the event's own fields.
pub(crate) struct Json {
    pub(crate) service: &'static str,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>, N: for<'a> FormatFields<'a> + 'static> FormatEvent<S, N> for Json {
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let meta = event.metadata();
        write!(
            out,
            r#"{{"timestamp":"{}","level":"{}","target":{},"message":{},"service":"{}""#,
            humantime::format_rfc3339_micros(SystemTime::now()),
            meta.level(),
            Value::from(meta.target()),
            Value::from(fields.message),
            self.service,
        )?;
        if let Some((trace_id, span_id)) = ids() {
            write!(out, r#","trace_id":"{trace_id}","span_id":"{span_id}""#)?;
        }
        for (name, value) in fields.others {
            write!(out, ",{}:{value}", Value::from(name))?;
        }
        writeln!(out, "}}")
    }
}

/// One line for people: time, level, message, fields, and the beginning of the trace id.
pub(crate) struct Pretty;

impl<S: Subscriber + for<'a> LookupSpan<'a>, N: for<'a> FormatFields<'a> + 'static> FormatEvent<S, N> for Pretty {
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let (dim, plain) = if out.has_ansi_escapes() { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
        let level = *event.metadata().level();
        let colour = match level {
            _ if !out.has_ansi_escapes() => "",
            tracing::Level::ERROR => "\x1b[31m",
            tracing::Level::WARN => "\x1b[33m",
            tracing::Level::INFO => "\x1b[32m",
            _ => "\x1b[34m",
        };
        let now = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let time = now.get(11..23).unwrap_or(&now);
        write!(out, "{dim}{time}{plain} {colour}{level:>5}{plain} {}", fields.message)?;
        for (name, value) in fields.others {
            write!(out, " {dim}{name}={plain}{value}")?;
        }
        if let Some((trace_id, _)) = ids() {
            write!(out, " {dim}trace={}{plain}", &trace_id.to_string()[..8])?;
        }
        writeln!(out)
    }
}

fn ids() -> Option<(TraceId, SpanId)> {
    let context = TraceContext::current();
    context.is_valid().then_some((context.trace_id, context.span_id))
}

/// Where the lines of calls go, once they are wanted.
static CALLS: OnceLock<Calls> = OnceLock::new();

struct Calls {
    service: &'static str,
    is_pretty: bool,
    lines: Lines,
}

/// Has a line written for each call.
pub(crate) fn write_calls(service: &'static str, is_pretty: bool, lines: Lines) {
    let _ = CALLS.set(Calls { service, is_pretty, lines });
}

/// Whether they are wanted.
pub(crate) fn writes_calls() -> bool {
    CALLS.get().is_some()
}

/// Writes the line of a call that was served in the current scope.
pub(crate) fn call(method: &str, code: Code, elapsed: Duration, peer: Option<SocketAddr>) {
    thread_local! {
        static LINE: RefCell<String> = const { RefCell::new(String::new()) };
    }
    let Some(calls) = CALLS.get() else { return };
    LINE.with_borrow_mut(|line| {
        line.clear();
        // Writing to a string does not fail.
        let _ = calls.write(line, method, code, elapsed, peer);
        calls.lines.add(line.as_bytes());
    });
}

impl Calls {
    fn write(
        &self,
        line: &mut String,
        method: &str,
        code: Code,
        elapsed: Duration,
        peer: Option<SocketAddr>,
    ) -> fmt::Result {
        let (now, code, elapsed_us) = (SystemTime::now(), code_name(code), elapsed.as_micros());
        let ids = ids();
        if self.is_pretty {
            let now = humantime::format_rfc3339_millis(now).to_string();
            write!(
                line,
                "{}  INFO call method={method} code={code} elapsed_us={elapsed_us}",
                now.get(11..23).unwrap_or(&now)
            )?;
            if let Some(peer) = peer {
                write!(line, " peer={peer}")?;
            }
            if let Some((trace_id, _)) = ids {
                write!(line, " trace={}", &trace_id.to_string()[..8])?;
            }
            return writeln!(line);
        }
        // Names of methods and of the service have nothing that is to be escaped.
        write!(
            line,
            r#"{{"timestamp":"{}","level":"INFO","target":"call","message":"call","service":"{}""#,
            humantime::format_rfc3339_micros(now),
            self.service
        )?;
        if let Some((trace_id, span_id)) = ids {
            write!(line, r#","trace_id":"{trace_id}","span_id":"{span_id}""#)?;
        }
        write!(line, r#","method":"{method}","code":"{code}","elapsed_us":{elapsed_us}"#)?;
        if let Some(peer) = peer {
            write!(line, r#","peer":"{peer}""#)?;
        }
        writeln!(line, "}}")
    }
}

/// Has log records exported with the ids of the call, which OpenTelemetry's SDK looks for in its own context.
pub(crate) struct WithIds<L>(pub(crate) L);

impl<S: Subscriber, L: Layer<S>> Layer<S> for WithIds<L> {
    fn on_event(&self, event: &Event<'_>, cx: Context<'_, S>) {
        let Some((trace_id, span_id)) = ids() else { return self.0.on_event(event, cx) };
        let flags = TraceFlags::default().with_sampled(TraceContext::current().is_sampled);
        let (trace_id, span_id) = (trace_id.0.into(), span_id.0.into());
        let ids = SpanContext::new(trace_id, span_id, flags, false, TraceState::NONE);
        let _current = opentelemetry::Context::new().with_remote_span_context(ids).attach();
        self.0.on_event(event, cx);
    }
}

/// An event's fields, the message apart.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(message)) => self.message = message,
            (name, value) => self.others.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        // Beyond 64 bits JSON's readers lose digits, so such a number is text.
        self.add(field, u64::try_from(value).map_or_else(|_| value.to_string().into(), Value::from));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use seawall_trace::Scope;

    use super::*;

    fn line(is_pretty: bool) -> String {
        let calls = Calls { service: "shop", is_pretty, lines: Lines::to(std::io::sink()).unwrap() };
        let (mut line, peer) = (String::new(), Some("[::1]:7".parse().unwrap()));
        let mut scope =
            Scope::new(TraceContext { trace_id: TraceId(0xab << 120), span_id: SpanId(5), is_sampled: false });
        scope
            .enter(|| calls.write(&mut line, "shop.v1.Shop/Buy", Code::NotFound, Duration::from_micros(42), peer))
            .unwrap();
        line
    }

    #[test]
    fn the_line_of_a_call_is_one_object() {
        let line = line(false);
        assert_eq!(line.matches('\n').count(), 1);
        let line: Value = serde_json::from_str(&line).unwrap();
        for (field, expected) in [
            ("method", Value::from("shop.v1.Shop/Buy")),
            ("code", "NOT_FOUND".into()),
            ("elapsed_us", 42.into()),
            ("peer", "[::1]:7".into()),
            ("trace_id", format!("ab{}", "0".repeat(30)).into()),
            ("span_id", "0000000000000005".into()),
            ("service", "shop".into()),
        ] {
            assert_eq!(line[field], expected, "{field}");
        }
    }

    #[test]
    fn for_people_it_is_one_line() {
        let line = line(true);
        assert!(
            line.ends_with(
                "  INFO call method=shop.v1.Shop/Buy code=NOT_FOUND elapsed_us=42 peer=[::1]:7 trace=ab000000\n"
            ),
            "{line}"
        );
    }
}
