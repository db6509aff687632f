//! `/debug/pprof/profile?seconds=N`: what the processors do in N seconds, as Go's servers answer it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use seawall_profile::CpuError;

use super::{plain, respond};
use crate::config::Admin;

/// As Go has it, so that tools which do not say get what they expect.
const SECONDS_DEFAULT: u64 = 30;
/// What one request may cost, and less than tools wait.
const SECONDS_MAX: u64 = 60;

/// Answers `/debug/pprof/NAME`. Dropping the future ends a profile that is being taken.
pub(super) async fn answer(method: &Method, name: &str, query: Option<&str>, admin: Admin) -> Response<Full<Bytes>> {
    if admin == Admin::Off {
        return plain(StatusCode::FORBIDDEN, "it is off: server.admin\n");
    }
    if method != Method::GET && method != Method::HEAD {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "GET\n");
    }
    if name != "profile" {
        return plain(StatusCode::NOT_FOUND, "there is /debug/pprof/profile?seconds=N, what the processors do\n");
    }
    let seconds = match seconds(query) {
        Ok(seconds) => seconds,
        Err(mistake) => return plain(StatusCode::BAD_REQUEST, mistake),
    };
    // Nobody would see it.
    if method == Method::HEAD {
        return profile(Bytes::new());
    }
    tracing::info!(seconds, "a CPU profile is being taken");
    match seawall_profile::cpu(Duration::from_secs(seconds)).await {
        Ok(bytes) => profile(bytes),
        Err(error @ CpuError::Busy) => plain(StatusCode::CONFLICT, format!("{error}\n")),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot take a CPU profile");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "cannot take a CPU profile; the log says why\n")
        }
    }
}

/// The one parameter there is. One that is misspelt would otherwise give another profile than was asked for.
fn seconds(query: Option<&str>) -> Result<u64, String> {
    let allowed = |what: &str| Err(format!("{what}: must be seconds=1 to seconds={SECONDS_MAX}, or nothing\n"));
    let Some(query) = query.filter(|query| !query.is_empty()) else { return Ok(SECONDS_DEFAULT) };
    match query.strip_prefix("seconds=").and_then(|seconds| seconds.parse().ok()) {
        Some(seconds) if (1..=SECONDS_MAX).contains(&seconds) => Ok(seconds),
        _ => allowed(query),
    }
}

fn profile(bytes: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = respond(StatusCode::OK, "application/octet-stream", bytes);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"profile\""));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
