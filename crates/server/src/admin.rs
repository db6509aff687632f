//! What is answered on the metrics port, over HTTP/1.1: `/metrics`, `/livez`, `/readyz`, `/policies`.
//!
//! `GET /policies` is what breakers, limits, budgets and endpoints know right now, as JSON.
//! `PUT /policies/breakers/NAME?set=open` commands one of them. It is PUT because no page in a browser
//! can send that to another origin without asking first.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use seawall_health::Health;
use seawall_provenance::CommandError;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Scrapers open one connection each; more than this is a mistake.
const CONNECTIONS_MAX: usize = 64;
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers until it is dropped.
pub(crate) async fn run(listener: TcpListener, health: Health) {
    let mut connections = JoinSet::new();
    loop {
        if connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        let health = health.clone();
        connections.spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = answer(request.method(), request.uri(), &health);
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut http1 = http1::Builder::new();
            http1.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
            let _ = http1.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer(method: &Method, uri: &Uri, health: &Health) -> Response<Full<Bytes>> {
    match uri.path() {
        path if path.trim_end_matches('/') == "/policies" && method == Method::GET => policies(),
        path if path.starts_with("/policies/") && method == Method::PUT => command(path, uri.query()),
        _ if method != Method::GET && method != Method::HEAD => {
            plain(StatusCode::METHOD_NOT_ALLOWED, "GET, or PUT /policies/KIND/NAME?set=COMMAND\n")
        }
        "/metrics" => match seawall_telemetry::prometheus_text() {
            Ok(text) => respond(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text),
            Err(error) => {
                tracing::error!(%error, "cannot gather metrics");
                plain(StatusCode::INTERNAL_SERVER_ERROR, "cannot gather metrics; the log says why\n")
            }
        },
        "/livez" => plain(StatusCode::OK, "alive\n"),
        "/readyz" if health.is_serving() => plain(StatusCode::OK, "ready\n"),
        "/readyz" => {
            let waiting = health.waiting_for().join(", ");
            let why = if waiting.is_empty() { "draining\n".to_owned() } else { format!("waiting for: {waiting}\n") };
            plain(StatusCode::SERVICE_UNAVAILABLE, why)
        }
        _ => plain(
            StatusCode::NOT_FOUND,
            "/metrics for Prometheus, /livez and /readyz for probes, /policies for the state of breakers and limits\n",
        ),
    }
}

fn policies() -> Response<Full<Bytes>> {
    // A `Value` is always JSON.
    let text = serde_json::to_string_pretty(&seawall_provenance::snapshot()).unwrap_or_default() + "\n";
    respond(StatusCode::OK, "application/json", text)
}

/// `/policies/KIND/NAME?set=COMMAND`; a name may have slashes in it, as those of methods do.
fn command(path: &str, query: Option<&str>) -> Response<Full<Bytes>> {
    let target = path.trim_start_matches("/policies/").split_once('/');
    let command = query.and_then(|query| query.strip_prefix("set="));
    let (Some((kind, name)), Some(command)) = (target, command) else {
        return plain(StatusCode::BAD_REQUEST, "PUT /policies/KIND/NAME?set=COMMAND; GET /policies shows them\n");
    };
    match seawall_provenance::command(kind, name, command) {
        Ok(()) => {
            tracing::warn!(kind, name, command, "a policy was commanded");
            plain(StatusCode::OK, "done\n")
        }
        Err(CommandError::NotFound) => {
            plain(StatusCode::NOT_FOUND, format!("there is no {name} among {kind}; GET /policies shows them\n"))
        }
        Err(error) => plain(StatusCode::BAD_REQUEST, format!("{error}\n")),
    }
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", text)
}

fn respond(status: StatusCode, content_type: &'static str, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}
