//! Keeps services running: starts them in order, watches their health, restarts what dies, ends all.
//!
//! Everything runs on the main thread, because a child is bound to the thread that started it (see
//! [`crate::bound`]). One [`keeper`] watches over one service; what it learns goes to the [`Board`],
//! which is the state file, and as an [`Event`] to whoever tells the user.

pub(crate) mod backoff;
mod keeper;
mod leftovers;
mod probe;
mod rotation;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use seawall_auth::tls::Connector;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::environment::Changes;
use crate::state::{Condition, Phase, Process, State};
use crate::terminal;

pub(crate) use leftovers::end_leftovers;

/// How long services have to drain, all together, before they are killed.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(4_000);
/// How long the kernel may take to end what is killed.
const KILL_TIMEOUT: Duration = Duration::from_millis(500);
/// Events that may wait for the user's terminal; keepers wait when it is full.
const EVENTS_MAX: usize = 64;

/// A service that is to run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) address: SocketAddr,
    pub(crate) environment: Changes,
    /// How it is asked for its health, if by TLS.
    pub(crate) tls: Option<Connector>,
    pub(crate) calls: Vec<String>,
    pub(crate) log: PathBuf,
    pub(crate) old_log: PathBuf,
}

/// What happened to a service.
#[derive(Debug)]
pub(crate) enum Event {
    /// It serves: for the first time, or again.
    Serving { name: String, pid: u32, after: Duration, again: bool },
    /// It could not be started the first time.
    StartFailed { name: String, cause: String },
    /// It has been serving and ended; it will be started again.
    Died { name: String, cause: String, restart_in: Duration },
}

/// What a keeper is told to do with its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Run,
    Drain,
    Kill,
}

/// The services under supervision.
#[derive(Debug)]
pub(crate) struct Supervisor {
    /// In the order in which they started.
    kept: Vec<Kept>,
    board: Rc<Board>,
    events: mpsc::Receiver<Event>,
}

#[derive(Debug)]
struct Kept {
    order: watch::Sender<Order>,
    keeper: JoinHandle<()>,
}

impl Supervisor {
    /// Starts the plans, which are in start order, each as soon as the services it calls are serving.
    ///
    /// Must be called within a [`tokio::task::LocalSet`] on the main thread.
    pub(crate) fn start(plans: Vec<Plan>, board: Rc<Board>) -> Self {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let start = |plan| {
            let (order, orders) = watch::channel(Order::Run);
            let keeper = keeper::Keeper::new(plan, Rc::clone(&board), sender.clone(), orders);
            Kept { order, keeper: tokio::task::spawn_local(keeper.run()) }
        };
        let kept = plans.into_iter().map(start).collect();
        Self { kept, board, events }
    }

    /// The next thing that happened. Cancel-safe.
    pub(crate) async fn event(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Drains and ends all services, callers before callees, within `DRAIN_TIMEOUT` + `KILL_TIMEOUT`.
    pub(crate) async fn stop(mut self, mut hurry: impl AsyncFnMut()) {
        self.events.close();
        self.board.update(|state| state.phase = Phase::Stopping);
        let began = Instant::now();
        let count = u32::try_from(self.kept.len()).unwrap_or(u32::MAX).max(1);
        tokio::select! {
            () = async {
                // A slow caller may use up its share of the time, not that of the services it calls.
                for (turn, kept) in (1..=count).zip(self.kept.iter_mut().rev()) {
                    kept.order.send_replace(Order::Drain);
                    let _ = timeout_at(began + DRAIN_TIMEOUT * turn / count, &mut kept.keeper).await;
                }
                for kept in self.kept.iter_mut().filter(|kept| !kept.keeper.is_finished()) {
                    let _ = timeout_at(began + DRAIN_TIMEOUT, &mut kept.keeper).await;
                }
            } => {}
            () = hurry() => {}
        }
        let killed = Instant::now() + KILL_TIMEOUT;
        for kept in &self.kept {
            kept.order.send_replace(Order::Kill);
        }
        for kept in self.kept.iter_mut().filter(|kept| !kept.keeper.is_finished()) {
            let _ = timeout_at(killed, &mut kept.keeper).await;
        }
    }
}

/// The state that everybody sees: in memory for keepers, in the state file for other commands.
#[derive(Debug)]
pub(crate) struct Board {
    state: watch::Sender<State>,
    path: PathBuf,
}

impl Board {
    pub(crate) fn new(state: State, path: PathBuf) -> Self {
        let board = Self { state: watch::Sender::new(state), path };
        board.update(|_| {});
        board
    }

    /// Changes the state and writes it. A state file that cannot be written is told, and nothing else:
    /// services are worth more than what `ps` knows of them.
    pub(crate) fn update(&self, change: impl FnOnce(&mut State)) {
        self.state.send_modify(change);
        if let Err(error) = self.state.borrow().write(&self.path) {
            terminal::warning("Warning", format!("{error:#}"));
        }
    }

    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.borrow())
    }

    fn set(&self, name: &str, condition: Condition, process: Option<Process>) {
        self.update(|state| {
            if let Some(service) = state.snapshot.services.iter_mut().find(|service| service.name == name) {
                if let Some(old) = service.pid {
                    state.processes.retain(|process| process.pid != old);
                }
                service.state = condition;
                service.pid = process.as_ref().map(|process| process.pid);
                state.processes.extend(process);
            }
        });
    }

    /// Waits until every one of the services is serving.
    async fn serving(&self, names: &[String]) {
        let mut state = self.state.subscribe();
        let all_serve = |state: &State| {
            let serves: BTreeMap<&str, bool> = (state.snapshot.services.iter())
                .map(|service| (service.name.as_str(), service.state == Condition::Serving))
                .collect();
            names.iter().all(|name| serves.get(name.as_str()).copied().unwrap_or(true))
        };
        // The sender is part of this board, so it is still there.
        let _ = state.wait_for(all_serve).await;
    }
}
