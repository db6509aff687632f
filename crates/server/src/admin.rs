//! What is answered on the metrics port, over HTTP/1.1: `/metrics`, `/livez`, `/readyz`.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use seawall_health::Health;
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
                let answer = answer(request.uri().path(), &health);
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut http1 = http1::Builder::new();
            http1.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
            let _ = http1.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer(path: &str, health: &Health) -> Response<Full<Bytes>> {
    match path {
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
        _ => plain(StatusCode::NOT_FOUND, "/metrics for Prometheus, /livez and /readyz for probes\n"),
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
