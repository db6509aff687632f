//! The connections to one endpoint: one HTTP/2 connection, made when it is needed and kept, and more
//! where the peer takes no more calls on it.
//!
//! h2 would queue the calls beyond the peer's limit where nobody sees them, so they are counted here:
//! a connection never has more than the peer takes at a time. A call that finds no room has another
//! connection made, up to a bound, and waits for that or for room.
//!
//! A task of its own makes and drives each. Its states, and what a call does in each:
//!
//! - `Idle`: nobody has called yet, or nobody has called by the last connection, which the peer may
//!   have ended for that reason. A call has it connect, and waits.
//! - `Connecting`: a call waits.
//! - `Ready`: a call is sent, if there is room.
//! - `Lost`: a connection that had calls has ended, and the task makes another, whether there are calls
//!   or not. A call waits, but had better go to another endpoint: this one may be gone for good.
//! - `Failed`: the last attempt to connect has failed. A call fails at once, unless it is one that waits
//!   or goes by another connection; the task tries again after a back-off that grows, whether there are
//!   calls or not, so that no call has to find out.
//!
//! Only the first connection is ever `Lost`. The others are given up, and are `Idle`, when they end or
//! have had no calls for a while.
//!
//! Not tonic's channel, which ends a call at the very moment that the peer was told: the peer's own
//! answer, which the margin is for, would come too late, and the peer would see a call that was
//! cancelled where it was late.

mod choice;
mod dialler;
mod heard;
mod http2;
mod line;
mod said;
mod sending;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, Request, Response, Uri, header};
use http_body::Body as _;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tonic::Status;
use tonic::body::Body;

use crate::Config;
use crate::answer::{ResponseBody, answered, failed, refused};
use crate::resend::{elsewhere, unsent};
use crate::secure::Secure;
use crate::signals::Signals;
use crate::wait::Waits;
use choice::{Choice, choose, is_available};
use dialler::{Dialler, nanos, standings};
use http2::Sender;
pub(crate) use line::Place;
use line::State;
use sending::send;

/// An endpoint and the connections to it, which end with it.
#[derive(Debug)]
pub(crate) struct Connection {
    lines: watch::Receiver<Vec<State>>,
    dialler: Arc<Dialler>,
    /// That of whoever made it, which outlives the calls; those may be of others.
    runtime: Handle,
    /// What the peer is told it was called, and how.
    authority: Authority,
    scheme: Scheme,
}

/// Why a call has no connection.
enum Unready {
    Failed(Arc<io::Error>),
    /// It waited, and there are news of other endpoints.
    Elsewhere,
}

impl Connection {
    /// Connects to `endpoint`, whose name is `host`, when it is first called, and calls it by the name in
    /// the settings. Needs a tokio runtime.
    pub(crate) fn new(config: &Config, endpoint: Authority, host: &str, signals: Arc<Signals>) -> Self {
        let (sender, lines) = watch::channel(vec![State::Idle; config.connections_max.max(1)]);
        let dialler = Dialler {
            config: config.clone(),
            endpoint,
            secure: Secure::new(config.tls.clone(), host),
            lines: sender,
            room: Arc::new(Notify::new()),
            signals,
            keepalive_interval: AtomicU64::new(nanos(config.keepalive_interval)),
        };
        let scheme = if config.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let authority = config.addresses.first().clone();
        Self { lines, dialler: Arc::new(dialler), runtime: Handle::current(), authority, scheme }
    }

    /// Whether a call would neither fail for want of a connection nor wait for others, as far as is known.
    pub(crate) fn is_available(&self) -> bool {
        is_available(standings(&self.lines.borrow()))
    }

    /// Sends a call. A request that was not sent, because there is no connection or it was just
    /// ending, comes back with the error.
    pub(crate) async fn send(self: Arc<Self>, mut request: Request<Body>) -> Result<Response<ResponseBody>, Status> {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        let placed = match self.place_now() {
            Some(placed) => Ok(placed),
            None => self.place(request.extensions().get().cloned()).await,
        };
        let (sender, place) = match placed {
            Ok(placed) => placed,
            Err(Unready::Failed(cause)) => return Err(unsent("the peer cannot be reached", cause, request)),
            Err(Unready::Elsewhere) => return Err(elsewhere(request)),
        };
        place.called();
        let margin = self.dialler.config.deadline_margin;
        if let Err(error) = sender.check() {
            return Err(unsent("the peer has closed the connection", error, request));
        }
        let (mut head, body) = request.into_parts();
        without_connection_headers(&mut head.headers);
        let is_empty = body.is_end_stream();
        let (response, stream) = sender.open(Request::from_parts(head, ()), is_empty).map_err(refused)?;
        let sending = if is_empty { None } else { Some(send(body, stream).await) };
        let response = response.await.map_err(|error| failed(error, margin))?;
        if let Some(sending) = sending {
            sending.answered();
        }
        place.answered();
        Ok(answered(response, place, margin))
    }

    /// A place on a connection, if there is one without waiting.
    fn place_now(&self) -> Option<(Sender, Place)> {
        let lines = self.lines.borrow();
        match choose(standings(&lines)) {
            Choice::Call(index) => placed(&lines[index]),
            _ => None,
        }
    }

    /// The same, once there is one.
    async fn place(&self, mut waits: Option<Waits>) -> Result<(Sender, Place), Unready> {
        let mut lines_seen = self.lines.clone();
        loop {
            let mut room = pin!(self.dialler.room.notified());
            // Before looking, so that a call which ends now is not missed.
            room.as_mut().enable();
            let choice = {
                let lines = lines_seen.borrow_and_update();
                let choice = choose(standings(&lines));
                match (choice, waits.is_some()) {
                    (Choice::Call(index), _) => {
                        if let Some(placed) = placed(&lines[index]) {
                            return Ok(placed);
                        }
                        // Another call was faster.
                        continue;
                    }
                    (Choice::Fail(index), false) => {
                        if let State::Failed(cause) = &lines[index] {
                            return Err(Unready::Failed(Arc::clone(cause)));
                        }
                        continue;
                    }
                    _ => choice,
                }
            };
            if let Choice::Open(index) = choice {
                self.open(index);
            }
            let failing = waits.as_mut().filter(|_| matches!(choice, Choice::Fail(_)));
            tokio::select! {
                changed = lines_seen.changed() => {
                    if changed.is_err() {
                        return Err(Unready::Failed(Arc::new(io::Error::other("the connection was given up"))));
                    }
                }
                () = room => {}
                () = Waits::news(failing) => return Err(Unready::Elsewhere),
            }
        }
    }

    /// Has a connection made, unless another call has.
    fn open(&self, index: usize) {
        let is_first = self.dialler.lines.send_if_modified(|lines| {
            let is_idle = matches!(lines[index], State::Idle);
            if is_idle {
                lines[index] = State::Connecting;
            }
            is_idle
        });
        if is_first {
            self.runtime.spawn(Arc::clone(&self.dialler).run(index));
        }
    }
}

/// Takes away what HTTP/2 does not have (RFC 9113, 8.2.2).
fn without_connection_headers(headers: &mut HeaderMap) {
    let is_one = |name: &HeaderName| {
        matches!(*name, header::CONNECTION | header::TRANSFER_ENCODING | header::UPGRADE)
            || matches!(name.as_str(), "keep-alive" | "proxy-connection")
    };
    while let Some(name) = headers.keys().find(|name| is_one(name)).cloned() {
        headers.remove(name);
    }
}

fn placed(state: &State) -> Option<(Sender, Place)> {
    if let State::Ready(line) = state { line.place() } else { None }
}
