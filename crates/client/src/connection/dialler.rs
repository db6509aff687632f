//! Makes the connections of an endpoint, again and again, each on a task of its own.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::uri::Authority;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::choice::{Choice, Standing, choose};
use super::heard::{Heard, hearing};
use super::http2::{self, Probes, Sender};
use super::line::{Line, State, Usage};
use crate::Config;
use crate::secure::Secure;
use crate::signals::Signals;

/// How long to wait after the first failure to connect. Short, because most are restarts.
const BACKOFF_INITIAL: Duration = Duration::from_millis(100);
/// And after many. gRPC's two minutes are long for somebody who waits for a service to come back.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// What each failure multiplies it by, and how much of it is left to chance (gRPC's "Connection
/// backoff").
const BACKOFF_FACTOR: f64 = 1.6;
const BACKOFF_JITTER: f64 = 0.2;
/// After how long without a call a connection is closed that is not the first one: between this and
/// twice as long.
const SURPLUS_IDLE: Duration = Duration::from_secs(30);
/// The longest time between two probes that a peer can bring about by its complaints.
const KEEPALIVE_INTERVAL_MAX: Duration = Duration::from_secs(2 * 3_600);

/// What the connections of an endpoint share.
#[derive(Debug)]
pub(super) struct Dialler {
    pub(super) config: Config,
    pub(super) endpoint: Authority,
    pub(super) secure: Secure,
    pub(super) lines: watch::Sender<Vec<State>>,
    /// Told when a call has ended.
    pub(super) room: Arc<Notify>,
    pub(super) signals: Arc<Signals>,
    /// The time between two probes, in nanoseconds.
    pub(super) keepalive_interval: AtomicU64,
}

/// Why a connection is not driven any longer.
enum End {
    /// The peer, or the network, has ended it.
    Ended,
    /// It was one too many.
    Surplus,
}

/// Why there is no connection.
enum Unmade {
    /// There was one, which the peer has ended before it was of any use.
    Gone,
    /// None was made.
    Failed(io::Error),
}

impl From<io::Error> for Unmade {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Dialler {
    /// Makes a connection until it is not needed, or nobody is left who calls.
    pub(super) async fn run(self: Arc<Self>, index: usize) {
        tokio::select! {
            () = self.keep(index) => {}
            () = self.lines.closed() => {}
        }
    }

    /// The first connection is kept. Others are made for want of room, and given up when there is room.
    async fn keep(&self, index: usize) {
        let mut backoff = BACKOFF_INITIAL;
        let mut is_excused = false;
        loop {
            let begun = Instant::now();
            let failed = match self.connect().await {
                Ok((sender, usage, end)) => {
                    self.set(index, State::Ready(Line::new(sender, Arc::clone(&usage))));
                    self.signals.changed();
                    if let End::Surplus = self.driven(index, &usage, &end).await {
                        return;
                    }
                    self.signals.lost();
                    let was_called = usage.was_called();
                    if usage.is_answered() || begun.elapsed() > backoff {
                        (backoff, is_excused) = (BACKOFF_INITIAL, false);
                        if index == 0 && was_called {
                            self.set(index, State::Lost);
                            continue;
                        }
                        self.set(index, State::Idle);
                        return;
                    }
                    Unmade::Gone
                }
                Err(unmade) => {
                    self.signals.lost();
                    unmade
                }
            };
            let failed = match failed {
                // One that is taken and closed at once is no better than one that is refused; but for the
                // first such, called or not, since a peer may be leaving, and another one be in its place.
                Unmade::Gone if index == 0 && !std::mem::replace(&mut is_excused, true) => {
                    self.set(index, State::Lost);
                    continue;
                }
                Unmade::Gone => closes(),
                Unmade::Failed(error) => error,
            };
            tracing::debug!(endpoint = %self.endpoint, error = %failed, retry_after = ?backoff, "cannot connect");
            self.set(index, State::Failed(Arc::new(failed)));
            sleep(backoff.mul_f64(1.0 + BACKOFF_JITTER * (2.0 * fastrand::f64() - 1.0))).await;
            backoff = backoff.mul_f64(BACKOFF_FACTOR).min(BACKOFF_MAX);
            if index > 0 && self.has_room() {
                self.set(index, State::Idle);
                return;
            }
        }
    }

    fn set(&self, index: usize, state: State) {
        self.lines.send_modify(|lines| lines[index] = state);
    }

    fn has_room(&self) -> bool {
        matches!(choose(self.lines.borrow().iter().map(State::standing)), Choice::Call(_))
    }

    /// Connects, and hears the peer's settings: how many calls it takes, and that it is there at all.
    async fn connect(&self) -> Result<(Sender, Arc<Usage>, Arc<http2::End>), Unmade> {
        let Config { connector, connect_timeout, keepalive_timeout, .. } = &self.config;
        let heard = Arc::new(Heard::new(Arc::clone(&self.room)));
        let usage = Arc::new(Usage::new(Arc::clone(&heard), Arc::clone(&self.room)));
        let interval = Duration::from_nanos(self.keepalive_interval.load(Ordering::Relaxed));
        let probes = Probes { interval, timeout: *keepalive_timeout };
        let connected = async {
            let io = self.secure.over(connector.connect(&self.endpoint).await?).await?;
            let io = hearing(io, Arc::clone(&heard));
            let (sender, end) = http2::connect(io, Arc::clone(&usage), probes).await?;
            tokio::select! {
                () = heard.settled() => Ok((sender, end)),
                ended = end.come() => Err(match ended {
                    _ if heard.is_settled() => Unmade::Gone,
                    Ok(()) => Unmade::Failed(closes()),
                    Err(error) => Unmade::Failed(error),
                }),
            }
        };
        let connected = timeout(*connect_timeout, connected).await;
        let (sender, end) = connected.map_err(|_| Unmade::Failed(io::ErrorKind::TimedOut.into()))??;
        Ok((sender, usage, end))
    }

    async fn driven(&self, index: usize, usage: &Usage, end: &http2::End) -> End {
        let mut end = pin!(end.come());
        loop {
            tokio::select! {
                ended = &mut end => {
                    if let Err(error) = ended {
                        tracing::debug!(endpoint = %self.endpoint, %error, "connection ended");
                    }
                    if usage.heard().has_too_many_pings() {
                        self.probe_less();
                    }
                    return End::Ended;
                }
                () = sleep(SURPLUS_IDLE), if index > 0 => if self.is_given_up(index, usage) { return End::Surplus },
            }
        }
    }

    /// Gives a connection up if it has no calls, and had none lately. Nobody finds a place on it meanwhile,
    /// because places are taken while the states are read.
    fn is_given_up(&self, index: usize, usage: &Usage) -> bool {
        self.lines.send_if_modified(|lines| {
            let is_surplus = !usage.was_called() && usage.is_idle();
            if is_surplus {
                lines[index] = State::Idle;
            }
            is_surplus
        })
    }

    /// Doubles the time between two probes (gRFC A8).
    fn probe_less(&self) {
        let before = Duration::from_nanos(self.keepalive_interval.load(Ordering::Relaxed));
        let after = before.saturating_mul(2).min(KEEPALIVE_INTERVAL_MAX.max(before));
        self.keepalive_interval.store(nanos(after), Ordering::Relaxed);
        tracing::warn!(
            endpoint = %self.endpoint,
            keepalive_interval = ?after,
            "the peer says that it is probed too often; it is probed half as often from now on"
        );
    }
}

fn closes() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the peer closes what it accepts")
}

/// As an atomic has it; what is longer than 584 years is that.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Those of all connections.
pub(super) fn standings(lines: &[State]) -> impl Iterator<Item = Standing> + Clone {
    lines.iter().map(State::standing)
}
