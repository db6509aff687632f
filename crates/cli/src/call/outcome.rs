//! How a call ended, in words.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::terminal::{BAD, BOLD, DIM, styled};

/// Exit codes of calls that failed begin here, as with grpcurl: 64 + the code of gRPC.
const EXIT_CODE_BASE: u8 = 64;

/// What the process ends with.
pub(crate) fn exit_code(code: Code) -> u8 {
    EXIT_CODE_BASE + u8::try_from(code as i32).unwrap_or_default()
}

/// What a status says, with its details: the first line is the code and the message.
pub(crate) fn lines(status: &Status) -> Vec<String> {
    let code = seawall_error::code_name(status.code());
    let message = if status.message().is_empty() { "the server does not say why" } else { status.message() };
    let mut lines = vec![format!("{}: {}", styled(BAD, code), styled(BOLD, message))];
    let rows = rows(status);
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    lines.extend(rows.iter().map(|(name, value)| format!("  {}  {value}", styled(DIM, format!("{name:width$}")))));
    lines
}

/// The details of a status, named.
fn rows(status: &Status) -> Vec<(String, String)> {
    let Ok(details) = status.check_error_details() else {
        return vec![("details".to_owned(), format!("not understood, {} bytes", status.details().len()))];
    };
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push((name.to_owned(), value));
    if let Some(info) = details.error_info() {
        row(
            "reason",
            if info.domain.is_empty() { info.reason.clone() } else { format!("{} ({})", info.reason, info.domain) },
        );
        let mut metadata: Vec<_> = info.metadata.iter().collect();
        metadata.sort();
        metadata.into_iter().for_each(|(key, value)| row(key, value.clone()));
    }
    for violation in details.bad_request().iter().flat_map(|request| &request.field_violations) {
        row("field", format!("{}: {}", violation.field, violation.description));
    }
    for violation in details.precondition_failure().iter().flat_map(|failure| &failure.violations) {
        row("violates", format!("{} of {}: {}", violation.r#type, violation.subject, violation.description));
    }
    for violation in details.quota_failure().iter().flat_map(|failure| &failure.violations) {
        row("quota", format!("{}: {}", violation.subject, violation.description));
    }
    if let Some(resource) = details.resource_info() {
        let text = format!("{} {:?} {}", resource.resource_type, resource.resource_name, resource.description);
        row("resource", text.trim_end().to_owned());
    }
    more(&details, &mut rows);
    if let Some(after) = status.metadata().get("grpc-retry-pushback-ms").and_then(|value| value.to_str().ok()) {
        let text = after.parse().map_or("not again".to_owned(), |ms| format!("in {:?}", Duration::from_millis(ms)));
        rows.push(("retry".to_owned(), text));
    } else if let Some(after) = details.retry_info().and_then(|retry| retry.retry_delay) {
        rows.push(("retry".to_owned(), format!("in {after:?}")));
    }
    rows
}

fn more(details: &ErrorDetails, rows: &mut Vec<(String, String)>) {
    let mut row = |name: &str, value: String| rows.push((name.to_owned(), value));
    for link in details.help().iter().flat_map(|help| &help.links) {
        row("help", format!("{} {}", link.description, link.url));
    }
    if let Some(message) = details.localized_message() {
        row("message", format!("{} ({})", message.message, message.locale));
    }
    if let Some(debug) = details.debug_info() {
        row("debug", debug.detail.clone());
    }
}

/// Such as `12.3 ms`.
pub(crate) fn time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        _ if seconds >= 100.0 => format!("{seconds:.0} s"),
        _ if seconds >= 1.0 => format!("{seconds:.2} s"),
        _ if seconds >= 0.001 => format!("{:.1} ms", seconds * 1e3),
        _ => format!("{:.0} µs", seconds * 1e6),
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn details_are_told_one_a_line() {
        let mut details = ErrorDetails::new();
        details.set_error_info(
            "INVALID_FIELDS",
            "shop.example",
            std::collections::HashMap::from([("sku".into(), "tea".into())]),
        );
        details.add_bad_request_violation("lines[0].quantity", "must be at least 1");
        details.set_retry_info(Some(Duration::from_millis(250)));
        let status = Status::with_error_details(Code::InvalidArgument, "2 fields are wrong", details);
        let told = anstream::adapter::strip_str(&lines(&status).join("\n")).to_string();
        assert_eq!(
            told,
            "INVALID_ARGUMENT: 2 fields are wrong\n  reason  INVALID_FIELDS (shop.example)\n  sku     tea\n  \
             field   lines[0].quantity: must be at least 1\n  retry   in 250ms"
        );
    }

    #[test]
    fn a_server_that_says_nothing_and_details_that_are_garbage_are_told_too() {
        let silent = anstream::adapter::strip_str(&lines(&Status::new(Code::Aborted, "")).join("\n")).to_string();
        assert_eq!(silent, "ABORTED: the server does not say why");
        let garbage = Status::with_details(Code::Aborted, "no", vec![0xff, 0xff].into());
        assert!(lines(&garbage)[1].contains("not understood, 2 bytes"));
    }

    #[test]
    fn codes_of_processes_are_those_of_grpc() {
        assert_eq!(exit_code(Code::NotFound), 69);
    }

    #[test]
    fn times_have_the_unit_that_fits() {
        let times = [999, 1_500, 12_345_000, 150_000_000].map(|micros| time(Duration::from_micros(micros)));
        assert_eq!(times, ["999 µs", "1.5 ms", "12.35 s", "150 s"]);
    }
}
