//! The connection to one endpoint: one HTTP/2 connection, made when it is needed and kept.
//!
//! A task of its own makes it and drives it. Its states, and what a call does in each:
//!
//! - `Idle`: nobody has called yet, or nobody has called by the last connection, which the peer may
//!   have ended for that reason. A call has it connect, and waits.
//! - `Connecting`: a call waits.
//! - `Ready`: a call is sent.
//! - `Lost`: a connection that had calls has ended, and the task makes another, whether there are calls
//!   or not. A call waits, but had better go to another endpoint: this one may be gone for good.
//! - `Failed`: the last attempt to connect has failed. A call fails at once; the task tries again
//!   after a back-off that grows, whether there are calls or not, so that no call has to find out.
//!
//! Not tonic's channel, which ends a call at the very moment that the peer was told: the peer's own
//! answer, which the margin is for, would come too late, and the peer would see a call that was
//! cancelled where it was late.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;
use tonic::body::Body;

use crate::Config;
use crate::answer::{ResponseBody, answered, failed};
use crate::resend::unsent;
use crate::secure::Secure;

/// How long to wait after the first failure to connect. Short, because most are restarts.
const BACKOFF_INITIAL: Duration = Duration::from_millis(100);
/// And after many. gRPC's two minutes are long for somebody who waits for a service to come back.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// What each failure multiplies it by, and how much of it is left to chance (gRPC's "Connection
/// backoff").
const BACKOFF_FACTOR: f64 = 1.6;
const BACKOFF_JITTER: f64 = 0.2;

/// An endpoint and the connection to it. Clones share the connection, which ends with the last one.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    states: watch::Receiver<State>,
    wanted: Arc<Notify>,
    used: Arc<Used>,
    /// What the peer is told it was called, and how.
    authority: Authority,
    scheme: Scheme,
}

#[derive(Debug, Clone)]
enum State {
    Idle,
    Connecting,
    Ready(SendRequest<Body>),
    Lost,
    Failed(Arc<std::io::Error>),
}

impl Connection {
    /// Connects to `endpoint`, whose name is `host`, when it is first called, and calls it by the name in
    /// the settings. Needs a tokio runtime.
    pub(crate) fn new(config: &Config, endpoint: Authority, host: &str) -> Self {
        let (states, receiver) = watch::channel(State::Idle);
        let wanted = Arc::new(Notify::new());
        let used = Arc::new(Used::default());
        let secure = Secure::new(config.tls.clone(), host);
        let dialler = Dialler { config: config.clone(), endpoint, secure, wanted: wanted.clone(), used: used.clone() };
        tokio::spawn(async move {
            let ended = states.clone();
            tokio::select! {
                () = dialler.run(states) => {}
                // Nobody is left to call.
                () = ended.closed() => {}
            }
        });
        let scheme = if config.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        Self { states: receiver, wanted, used, authority: config.addresses.first().clone(), scheme }
    }

    /// Whether a call would not fail for want of a connection, as far as is known.
    pub(crate) fn is_available(&self) -> bool {
        match &*self.states.borrow() {
            State::Idle | State::Connecting => true,
            State::Ready(sender) => !sender.is_closed(),
            State::Lost | State::Failed(_) => false,
        }
    }

    /// Sends a call. A request that was not sent, because there is no connection or it was just
    /// ending, comes back with the error.
    pub(crate) async fn send(mut self, mut request: Request<Body>) -> Result<Response<ResponseBody>, Status> {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        let mut sender = match self.ready().await {
            Ok(sender) => sender,
            Err(cause) => return Err(unsent("the peer cannot be reached", cause, request)),
        };
        self.used.is_called.store(true, Ordering::Relaxed);
        match sender.try_send_request(request).await {
            Ok(response) => {
                self.used.is_answered.store(true, Ordering::Relaxed);
                Ok(answered(response))
            }
            Err(mut error) => match error.take_message() {
                Some(request) => Err(unsent("the peer has closed the connection", error.into_error(), request)),
                None => Err(failed(error.into_error())),
            },
        }
    }

    /// The way to send, once there is one.
    async fn ready(&mut self) -> Result<SendRequest<Body>, Arc<std::io::Error>> {
        loop {
            match &*self.states.borrow_and_update() {
                State::Ready(sender) if !sender.is_closed() => return Ok(sender.clone()),
                State::Failed(cause) => return Err(cause.clone()),
                State::Idle => self.wanted.notify_one(),
                // The task has not noticed yet that one which is closed has ended.
                State::Ready(_) | State::Connecting | State::Lost => {}
            }
            if self.states.changed().await.is_err() {
                return Err(Arc::new(std::io::Error::other("the connection was given up")));
            }
        }
    }
}

/// What the present connection has been used for.
#[derive(Debug, Default)]
struct Used {
    is_called: AtomicBool,
    is_answered: AtomicBool,
}

/// Makes the connection, again and again.
struct Dialler {
    config: Config,
    endpoint: Authority,
    secure: Secure,
    wanted: Arc<Notify>,
    used: Arc<Used>,
}

impl Dialler {
    async fn run(self, states: watch::Sender<State>) {
        let mut backoff = BACKOFF_INITIAL;
        self.wanted.notified().await;
        states.send_replace(State::Connecting);
        loop {
            let begun = Instant::now();
            let failed = match self.connect().await {
                Ok((sender, connection)) => {
                    states.send_replace(State::Ready(sender));
                    let ended = connection.await;
                    if let Err(error) = &ended {
                        tracing::debug!(endpoint = %self.endpoint, %error, "connection ended");
                    }
                    // One that is taken and closed at once is no better than one that is refused.
                    let lasted = self.used.is_answered.swap(false, Ordering::Relaxed) || begun.elapsed() > backoff;
                    if lasted {
                        backoff = BACKOFF_INITIAL;
                        if self.used.is_called.swap(false, Ordering::Relaxed) {
                            states.send_replace(State::Lost);
                            continue;
                        }
                        states.send_replace(State::Idle);
                        self.wanted.notified().await;
                        states.send_replace(State::Connecting);
                        continue;
                    }
                    std::io::Error::new(std::io::ErrorKind::ConnectionReset, "the peer closes what it accepts")
                }
                Err(error) => error,
            };
            tracing::debug!(endpoint = %self.endpoint, error = %failed, retry_after = ?backoff, "cannot connect");
            states.send_replace(State::Failed(Arc::new(failed)));
            sleep(backoff.mul_f64(1.0 + BACKOFF_JITTER * (2.0 * fastrand::f64() - 1.0))).await;
            backoff = backoff.mul_f64(BACKOFF_FACTOR).min(BACKOFF_MAX);
        }
    }

    async fn connect(&self) -> std::io::Result<(SendRequest<Body>, impl Future<Output = hyper::Result<()>>)> {
        let Config { connector, connect_timeout, keepalive_interval, keepalive_timeout, .. } = &self.config;
        let connected = async { self.secure.over(connector.connect(&self.endpoint).await?).await };
        let connected = timeout(*connect_timeout, connected).await;
        let io = connected.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
        Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(*keepalive_interval)
            .keep_alive_timeout(*keepalive_timeout)
            .handshake(TokioIo::new(io))
            .await
            .map_err(std::io::Error::other)
    }
}
