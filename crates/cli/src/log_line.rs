//! One line of a service's log, as people read it.
//!
//! `10:00:00.123  INFO user   placed an order  lines=2  trace 5b8aa5a2`; a line that is no JSON (a
//! panic, a print) stays as it is.

use anstyle::Style;
use serde_json::{Map, Value};

use crate::terminal::{BAD, BUSY, DIM, GOOD, WARN, styled};

/// Fields that have their own place in the line, or none.
const PLACED: [&str; 7] = ["timestamp", "level", "target", "message", "service", "trace_id", "span_id"];
/// How much of a trace id is shown; `cargo seawall trace` takes the beginning of an id.
const TRACE_ID_CHARS: usize = 8;

/// When the line was written, if it says so. Timestamps compare as text, being RFC 3339 in UTC.
pub(crate) fn timestamp(line: &str) -> Option<String> {
    Some(parse(line)?.get("timestamp")?.as_str()?.to_owned())
}

/// The line for people. Service names are padded to `width` so that messages line up.
pub(crate) fn pretty(service: &str, line: &str, width: usize) -> String {
    let Some(fields) = parse(line) else {
        return format!("{:12}       {DIM}{service:width$}{DIM:#}  {line}", "");
    };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let time = text("timestamp").get(11..23).unwrap_or_default();
    let level = text("level");
    let mut pretty = format!("{DIM}{time:12}{DIM:#} {} {service:width$}  {}", level_cell(level), text("message"));
    for (name, value) in fields.iter().filter(|(name, _)| !PLACED.contains(&name.as_str())) {
        pretty.push_str(&format!("  {DIM}{name}={DIM:#}{}", plain(value)));
    }
    let trace_id = text("trace_id");
    if !trace_id.is_empty() {
        let short = trace_id.get(..TRACE_ID_CHARS).unwrap_or(trace_id);
        pretty.push_str(&format!("  {}", styled(DIM, format!("trace {short}"))));
    }
    pretty
}

fn parse(line: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(line).ok()
}

fn level_cell(level: &str) -> String {
    let style = match level {
        "ERROR" => BAD,
        "WARN" => WARN,
        "INFO" => GOOD,
        "DEBUG" => BUSY,
        _ => Style::new(),
    };
    styled(style, format!("{level:>5}"))
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uncoloured(service: &str, line: &str) -> String {
        anstream::adapter::strip_str(&pretty(service, line, 6)).to_string()
    }

    #[test]
    fn json_becomes_time_level_service_message_fields_and_a_short_trace_id() {
        let line = r#"{"timestamp":"2026-11-21T10:00:00.123456Z","level":"INFO","target":"order::place","message":"placed an order","service":"order","lines":2,"sku":"tea","trace_id":"5b8aa5a2d2c872e8321cf37308d69df2","span_id":"051581bf3cb55c13"}"#;
        let expected = "10:00:00.123  INFO order   placed an order  lines=2  sku=tea  trace 5b8aa5a2";
        assert_eq!(uncoloured("order", line), expected);
    }

    #[test]
    fn a_line_that_is_no_json_stays_as_it_is() {
        let line = "thread 'main' panicked at src/main.rs:1:1:";
        assert_eq!(uncoloured("user", line), format!("                   user    {line}"));
        assert_eq!(timestamp(line), None);
    }

    #[test]
    fn missing_and_odd_fields_do_no_harm() {
        assert_eq!(
            uncoloured("user", r#"{"timestamp":"é","level":7,"trace_id":"é"}"#).trim_end(),
            "                   user      trace é"
        );
    }
}
