//! What is answered on the metrics port, over HTTP/1.1: `/metrics`, `/livez`, `/readyz`, `/policies`,
//! `/debug/pprof`.
//!
//! `GET /policies` is what breakers, limits, budgets and endpoints know right now, and the policies in
//! force, as JSON.
//! `PUT /policies/breakers/NAME?set=open` commands one of them. It is PUT because no page in a browser
//! can send that to another origin without asking first. Both are answered only where the settings say so,
//! and so are profiles.

mod profiles;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use seawall_health::Health;
use seawall_policy::Policies;
use seawall_provenance::{CommandError, Live, publish};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::config::Admin;

/// The policies in force, with where each setting comes from.
#[derive(Debug)]
struct InForce(Policies);

impl Live for InForce {
    fn state(&self) -> Value {
        json!(self.0.snapshot())
    }
}

/// Puts the policies in force on the page, until what is returned is dropped.
pub(crate) fn show_in_force(policies: &Policies) -> Arc<dyn Live> {
    let live: Arc<dyn Live> = Arc::new(InForce(policies.clone()));
    publish("policies", "in_force", Arc::downgrade(&live));
    live
}

/// Scrapers open one connection each; more than this is a mistake.
const CONNECTIONS_MAX: usize = 64;
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers until it is dropped.
pub(crate) async fn run(listener: TcpListener, health: Health, admin: Admin) {
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
                let health = health.clone();
                async move {
                    let (method, uri) = (request.method(), request.uri());
                    Ok::<_, Infallible>(match uri.path().strip_prefix("/debug/pprof/") {
                        // hyper drops this where the peer goes away.
                        Some(name) => profiles::answer(method, name, uri.query(), admin).await,
                        None => answer(method, uri, &health, admin),
                    })
                }
            });
            let mut http1 = http1::Builder::new();
            http1.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
            let _ = http1.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer(method: &Method, uri: &Uri, health: &Health, admin: Admin) -> Response<Full<Bytes>> {
    let is_policies = uri.path() == "/policies" || uri.path().starts_with("/policies/");
    match uri.path() {
        _ if is_policies && admin == Admin::Off => plain(StatusCode::FORBIDDEN, "it is off: server.admin\n"),
        _ if is_policies && admin < Admin::Write && method == Method::PUT => {
            plain(StatusCode::FORBIDDEN, "it is only to be looked at: server.admin\n")
        }
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
            "/metrics for Prometheus, /livez and /readyz for probes, /policies for the state of breakers and limits, \
             /debug/pprof/profile and /debug/pprof/heap for profiles\n",
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
        Err(CommandError::NotFound) => plain(StatusCode::NOT_FOUND, unknown(kind, name)),
        Err(error) => plain(StatusCode::BAD_REQUEST, format!("{kind}/{name}: {command:?}: {error}\n")),
    }
}

fn unknown(kind: &str, name: &str) -> String {
    let all = seawall_provenance::snapshot();
    let kinds: Vec<&str> = all.as_object().into_iter().flat_map(|kinds| kinds.keys().map(String::as_str)).collect();
    if kinds.contains(&kind) {
        return format!("{kind}: there is no {name:?}; GET /policies shows them\n");
    }
    format!("there are no {kind:?}; there are {}; GET /policies shows them\n", kinds.join(", "))
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

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn says(method: Method, uri: &'static str) -> (u16, String) {
        told(method, uri, Admin::Write).await
    }

    async fn told(method: Method, uri: &'static str, admin: Admin) -> (u16, String) {
        let answer = answer(&method, &Uri::from_static(uri), &Health::new(), admin);
        let status = answer.status().as_u16();
        (status, String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_policies_in_force_are_shown_and_what_cannot_be_commanded_says_what_can() {
        let _in_force = show_in_force(&Policies::default());
        let (status, page) = says(Method::GET, "/policies").await;
        assert_eq!(status, 200);
        let page: Value = serde_json::from_str(&page).unwrap();
        assert_eq!(page["policies"]["in_force"]["changes"], 0, "{page}");
        for (uri, status, answer) in [
            ("/policies/policies/in_force?set=open", 400, "policies/in_force: \"open\": it takes no commands\n"),
            ("/policies/policies/other?set=open", 404, "policies: there is no \"other\"; GET /policies shows them\n"),
            ("/policies/breaker/a/b?set=open", 404, "there are no \"breaker\"; there are policies; GET"),
            ("/policies/policies/in_force", 400, "PUT /policies/KIND/NAME?set=COMMAND; GET"),
        ] {
            let said = says(Method::PUT, uri).await;
            assert!(said.0 == status && said.1.starts_with(answer), "{uri}: {said:?}");
        }
    }

    #[tokio::test]
    async fn policies_are_shown_and_commanded_only_where_the_settings_say_so() {
        let command = "/policies/policies/other?set=open";
        for (admin, get, put) in [(Admin::Off, 403, 403), (Admin::Read, 200, 403), (Admin::Write, 200, 404)] {
            for uri in ["/policies", "/policies/"] {
                assert_eq!(told(Method::GET, uri, admin).await.0, get, "{admin:?} {uri}");
            }
            assert_eq!(told(Method::PUT, command, admin).await.0, put, "{admin:?}");
            assert_eq!(told(Method::GET, "/livez", admin).await.0, 200, "{admin:?}");
        }
    }
}
