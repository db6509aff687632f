//! `/debug/pprof/profile?seconds=N`, what the processors do in N seconds, and `/debug/pprof/heap`, who holds
//! memory: as Go's servers answer them.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use seawall_profile::{CpuError, HeapError};

use super::{plain, respond};
use crate::config::Admin;

/// As Go has it, so that tools which do not say get what they expect.
const SECONDS_DEFAULT: u64 = 30;
/// What one request may cost, and less than tools wait.
const SECONDS_MAX: u64 = 60;

/// A profile, or why there is none.
type Answer = Result<Bytes, (StatusCode, String)>;

/// Answers `/debug/pprof/NAME`. Dropping the future ends a profile that is being taken.
pub(super) async fn answer(method: &Method, name: &str, query: Option<&str>, admin: Admin) -> Response<Full<Bytes>> {
    if admin == Admin::Off {
        return plain(StatusCode::FORBIDDEN, "it is off: server.admin\n");
    }
    if method != Method::GET && method != Method::HEAD {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "GET\n");
    }
    let query = query.filter(|query| !query.is_empty());
    let is_wanted = method == Method::GET;
    let answer = match name {
        "profile" => cpu(query, is_wanted).await,
        "heap" => heap(query, is_wanted).await,
        _ => Err((
            StatusCode::NOT_FOUND,
            "there are /debug/pprof/profile?seconds=N, what the processors do, and /debug/pprof/heap".to_owned(),
        )),
    };
    match answer {
        Ok(bytes) => {
            let mut response = respond(StatusCode::OK, "application/octet-stream", bytes);
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"profile\""));
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            response
        }
        Err((status, why)) => plain(status, why + "\n"),
    }
}

/// Nothing is done for one that is not wanted, as by HEAD.
async fn cpu(query: Option<&str>, is_wanted: bool) -> Answer {
    let seconds = seconds(query).map_err(|mistake| (StatusCode::BAD_REQUEST, mistake))?;
    if !is_wanted {
        return Ok(Bytes::new());
    }
    tracing::info!(seconds, "a CPU profile is being taken");
    match seawall_profile::cpu(Duration::from_secs(seconds)).await {
        Ok(profile) => Ok(profile.into()),
        Err(error @ CpuError::Busy) => Err((StatusCode::CONFLICT, error.to_string())),
        Err(error) => Err(failed(&error)),
    }
}

/// The one parameter there is. One that is misspelt would otherwise give another profile than was asked for.
fn seconds(query: Option<&str>) -> Result<u64, String> {
    let Some(query) = query else { return Ok(SECONDS_DEFAULT) };
    match query.strip_prefix("seconds=").and_then(|seconds| seconds.parse().ok()) {
        Some(seconds) if (1..=SECONDS_MAX).contains(&seconds) => Ok(seconds),
        _ => Err(format!("{query}: must be seconds=1 to seconds={SECONDS_MAX}, or nothing")),
    }
}

async fn heap(query: Option<&str>, is_wanted: bool) -> Answer {
    if let Some(query) = query {
        return Err((StatusCode::BAD_REQUEST, format!("{query}: there are no parameters, it is what is held now")));
    }
    if !is_wanted {
        return Ok(Bytes::new());
    }
    match seawall_profile::heap().await {
        Ok(profile) => Ok(profile.into()),
        Err(error @ HeapError::Busy) => Err((StatusCode::CONFLICT, error.to_string())),
        Err(error @ (HeapError::NotBuilt | HeapError::NotPrepared)) => {
            Err((StatusCode::NOT_IMPLEMENTED, error.to_string()))
        }
        Err(error) => Err(failed(&error)),
    }
}

fn failed(error: &(dyn std::error::Error + 'static)) -> (StatusCode, String) {
    tracing::error!(error, "cannot take a profile");
    (StatusCode::INTERNAL_SERVER_ERROR, "cannot take a profile; the log says why".to_owned())
}
