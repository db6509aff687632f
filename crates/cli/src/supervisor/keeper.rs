//! Watches over one service from its first start to its end.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::backoff::Backoff;
use super::probe::Probe;
use super::rotation::{self, LOG_BYTES_MAX};
use super::{Board, Event, Order, Plan};
use crate::bound;
use crate::state::{Condition, Process};

/// How long a service may take until it says SERVING.
const START_TIMEOUT: Duration = Duration::from_secs(30);
const STARTING_INTERVAL: Duration = Duration::from_millis(50);
const SERVING_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Keeper {
    plan: Plan,
    board: Rc<Board>,
    events: mpsc::Sender<Event>,
    orders: watch::Receiver<Order>,
    /// Whether the service has been serving since `up` began.
    proven: bool,
}

/// How one life of a service ended.
enum End {
    /// It was told to.
    Ordered,
    Died {
        cause: String,
        served_for: Duration,
    },
}

impl Keeper {
    pub(super) fn new(
        plan: Plan,
        board: Rc<Board>,
        events: mpsc::Sender<Event>,
        orders: watch::Receiver<Order>,
    ) -> Self {
        Self { plan, board, events, orders, proven: false }
    }

    /// Ends when the service was told to end, or when it could not be started the first time.
    pub(super) async fn run(mut self) {
        if self.wait_for_callees().await {
            self.keep().await;
        }
        if self.board.read(|state| !failed(state, &self.plan.name)) {
            self.board.set(&self.plan.name, Condition::Stopped, None);
        }
    }

    async fn keep(&mut self) {
        let mut backoff = Backoff::default();
        loop {
            let End::Died { cause, served_for } = self.live().await else { return };
            let name = self.plan.name.clone();
            if !self.proven {
                self.board.set(&name, Condition::Failed, None);
                self.tell(Event::StartFailed { name, cause }).await;
                return;
            }
            let restart = backoff.died(served_for, rand::random());
            let condition = if restart.failed { Condition::Failed } else { Condition::Restarting };
            self.board.set(&name, condition, None);
            self.tell(Event::Died { name, cause, restart_in: restart.delay }).await;
            tokio::select! {
                () = tokio::time::sleep(restart.delay) => {}
                _ = ordered(&mut self.orders) => return,
            }
        }
    }

    /// Whether they came to serve before this service was told to end.
    async fn wait_for_callees(&mut self) -> bool {
        tokio::select! {
            () = self.board.serving(&self.plan.calls) => true,
            _ = ordered(&mut self.orders) => false,
        }
    }

    /// One life: from the start of the process to its end.
    async fn live(&mut self) -> End {
        let born = Instant::now();
        let (mut child, pid) = match self.spawn() {
            Ok(started) => started,
            Err(error) => return End::Died { cause: format!("{error:#}"), served_for: Duration::ZERO },
        };
        let mut probe = match Probe::new(self.plan.address, self.plan.tls.clone()) {
            Ok(probe) => probe,
            Err(error) => return End::Died { cause: error.to_string(), served_for: Duration::ZERO },
        };
        let mut serving_since: Option<Instant> = None;
        let mut next_probe = born;
        loop {
            let look = async {
                tokio::time::sleep_until(next_probe).await;
                probe.is_serving().await
            };
            let serving = tokio::select! {
                status = child.wait() => {
                    let cause = status.map_or_else(|error| error.to_string(), describe);
                    self.end_group(pid);
                    return End::Died { cause, served_for: serving_since.map_or(Duration::ZERO, |since| since.elapsed()) };
                }
                order = ordered(&mut self.orders) => {
                    self.end(&mut child, pid, order).await;
                    return End::Ordered;
                }
                serving = look => serving,
            };
            if serving_since.is_none() && !serving && born.elapsed() >= START_TIMEOUT {
                self.end(&mut child, pid, Order::Kill).await;
                let cause = format!("it did not say SERVING on {} within {START_TIMEOUT:?}", self.plan.address);
                return End::Died { cause, served_for: Duration::ZERO };
            }
            if serving && serving_since.is_none() {
                serving_since = Some(Instant::now());
                self.serves(pid, born).await;
            }
            if serving_since.is_some() {
                self.show(if serving { Condition::Serving } else { Condition::NotServing }, pid);
            }
            next_probe = Instant::now() + if serving_since.is_some() { SERVING_INTERVAL } else { STARTING_INTERVAL };
            // A log that cannot be rotated now is tried again in a second.
            let _ = rotation::rotate(&self.plan.log, &self.plan.old_log, LOG_BYTES_MAX);
        }
    }

    fn spawn(&mut self) -> Result<(Child, u32)> {
        let Plan { name, program, log, environment, .. } = &self.plan;
        let output = rotation::open(log).with_context(|| format!("{} cannot be opened", log.display()))?;
        let errors = output.try_clone().context("the log cannot be opened twice")?;
        let mut command = bound::command(program)?;
        for variable in &environment.remove {
            command.env_remove(variable);
        }
        command.envs(&environment.set).stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = command.spawn().with_context(|| format!("{} cannot be started", program.display()))?;
        let pid = child.id().context("the process has no id")?;
        let condition = if self.proven { Condition::Restarting } else { Condition::Starting };
        self.board.set(name, condition, Some(Process { pid, program: program.clone() }));
        Ok((child, pid))
    }

    async fn serves(&mut self, pid: u32, born: Instant) {
        self.show(Condition::Serving, pid);
        let name = self.plan.name.clone();
        let again = std::mem::replace(&mut self.proven, true);
        self.tell(Event::Serving { name, pid, after: born.elapsed(), again }).await;
    }

    fn show(&self, condition: Condition, pid: u32) {
        let shown = self
            .board
            .read(|state| state.snapshot.services.iter().any(|s| s.name == self.plan.name && s.state == condition));
        if !shown {
            self.board.set(&self.plan.name, condition, Some(Process { pid, program: self.plan.program.clone() }));
        }
    }

    async fn end(&mut self, child: &mut Child, pid: u32, order: Order) {
        if order == Order::Drain {
            if let Some(pid) = raw(pid) {
                let _ = kill(pid, Signal::SIGTERM);
            }
            tokio::select! {
                _ = child.wait() => {}
                () = killed(&mut self.orders) => {}
            }
        }
        self.end_group(pid);
        let _ = child.wait().await;
    }

    /// Whatever the service has started itself ends with it.
    fn end_group(&self, pid: u32) {
        if let Some(pid) = raw(pid) {
            let _ = killpg(pid, Signal::SIGKILL);
        }
    }

    async fn tell(&self, event: Event) {
        // Nobody listens any more when everything is being stopped.
        let _ = self.events.send(event).await;
    }
}

fn failed(state: &crate::state::State, name: &str) -> bool {
    state.snapshot.services.iter().any(|service| service.name == name && service.state == Condition::Failed)
}

fn raw(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().map(Pid::from_raw)
}

/// Waits for the order to end, in whatever way. Cancel-safe.
async fn ordered(orders: &mut watch::Receiver<Order>) -> Order {
    // A supervisor that is gone can no longer say it.
    orders.wait_for(|order| *order != Order::Run).await.map_or(Order::Kill, |order| *order)
}

async fn killed(orders: &mut watch::Receiver<Order>) {
    let _ = orders.wait_for(|order| *order == Order::Kill).await;
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal().map(Signal::try_from)) {
        (Some(code), _) => format!("it exited with code {code}"),
        (None, Some(Ok(signal))) => format!("it was ended by {signal}"),
        (None, _) => format!("it ended: {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_described_by_its_code_or_signal() {
        assert_eq!(describe(ExitStatus::from_raw(0x0200)), "it exited with code 2");
        assert_eq!(describe(ExitStatus::from_raw(9)), "it was ended by SIGKILL");
    }
}
