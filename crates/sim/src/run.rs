//! One run: the simulation put together, the plan carried out, what came of it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use serde::Serialize;
use tonic::Code;
use tracing_subscriber::layer::SubscriberExt as _;
use turmoil::Sim;

use crate::faulty::Mood;
use crate::journal::{Journal, Logs};
use crate::plan::{self, Action, FAULTS_END, LATENCY_MAX, Plan, RECOVERY, WATCHED};
use crate::shop::{HOSTS, Shop, USERS};
use crate::shopper::{Peers, SHOPPERS, Seen, Shopper};
use crate::{disk, replay};

/// The step of the network and of the hosts. Timers within a host are finer.
const STEP: Duration = Duration::from_millis(2);
/// By then every call of the shoppers must have ended, and every host.
const END: Duration =
    FAULTS_END.saturating_add(RECOVERY).saturating_add(WATCHED).saturating_add(Duration::from_secs(60));
/// How long hosts are given to drain at the end.
const DRAINED: Duration = Duration::from_secs(4);

/// What came of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Which run it was.
    pub seed: u64,
    /// What must not be and was. None if all is well.
    pub violations: Vec<String>,
    /// What tells this run from another, in hexadecimal.
    pub hash: String,
    /// The time in the simulation.
    pub simulated_seconds: f64,
    /// What went wrong, as planned.
    pub faults: usize,
    /// The shoppers' calls.
    pub calls: u64,
    /// Those that failed, as calls may.
    pub failed: u64,
    /// Orders that were acknowledged.
    pub orders: u64,
    /// Calls that came to the user service for each PlaceOrder that had no answer yet.
    pub amplification: f64,
    /// How long after the last fault the last call that failed began, if that was after it.
    pub recovery_seconds: f64,
}

/// Runs the simulation of `seed`. With `show`, prints what happens.
///
/// # Panics
/// When called twice in a process, or if there is no room for the databases.
pub fn run(seed: u64, show: bool) -> Report {
    // Made outside, because its name is of no seed.
    let folder = folder();
    let path = folder.path().to_owned();
    replay::seeded(seed, move || simulate(seed, show, &path))
}

/// In memory where there is such a place: a hundred commits a second would wait for a disk.
#[expect(clippy::expect_used, reason = "without a place for its databases there is no simulation")]
fn folder() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a folder for the databases")
}

fn simulate(seed: u64, show: bool, folder: &std::path::Path) -> Report {
    let journal = Journal::new(show);
    note_panics(&journal);
    let logs = tracing_subscriber::registry().with(Logs::new(journal.clone()));
    let _logs = tracing::subscriber::set_default(logs);

    let mut rng = Rng::with_seed(seed);
    let plan = plan::draw(&mut rng);
    let allowed = allowed(&plan);
    let seen = Rc::new(RefCell::new(Seen::default()));
    let shop = Shop::new(folder, journal.clone());
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .simulation_duration(END)
        .tick_duration(STEP)
        .min_message_latency(Duration::ZERO)
        .max_message_latency(LATENCY_MAX)
        // Connections that wait for a host that is away wait in its queue.
        .tcp_capacity(4_096)
        .enable_random_order()
        .build();
    shop.open(&mut sim);
    let shoppers: Vec<Rng> = (0..SHOPPERS).map(|_| rng.fork()).collect();
    let (notes, sees) = (journal.clone(), Rc::clone(&seen));
    sim.client("shop", async move {
        let peers = Peers::open()?;
        let shoppers = shoppers.into_iter().enumerate().map(|(number, rng)| {
            Shopper::new(number, peers.clone(), rng, notes.clone(), Rc::clone(&sees), &allowed).shop()
        });
        futures_util::future::join_all(shoppers).await;
        Ok(())
    });

    let mut stage = Stage { sim, shop, journal: journal.clone(), plan: plan.clone().into() };
    stage.until_done();
    stage.drain_all();
    let simulated_seconds = stage.sim.elapsed().as_secs_f64();

    let seen = seen.borrow();
    let asked = stage.shop.calls_of_users();
    if asked > calls_max(&seen) {
        journal.violation(format_args!("{asked} calls came to the user service, {} are explained", seen.unanswered));
    }
    let (violations, hash) = journal.finish();
    Report {
        seed,
        violations,
        hash: format!("{hash:016x}"),
        simulated_seconds,
        faults: plan.len() / 2,
        calls: seen.calls,
        failed: seen.failed,
        orders: seen.placed,
        amplification: asked as f64 / seen.unanswered.max(1) as f64,
        recovery_seconds: seen.last_failure.map_or(0.0, |last| last.saturating_sub(FAULTS_END).as_secs_f64()),
    }
}

/// How many calls may come to the user service: one for each PlaceOrder that has no answer yet, a tenth
/// more for retries, and what a retry budget has at the start.
fn calls_max(seen: &Seen) -> u64 {
    // Signing up calls the user service, too.
    let calls = seen.unanswered + SHOPPERS as u64;
    calls + calls / 10 + 20
}

/// Codes that only hosts in a mood explain.
fn allowed(plan: &Plan) -> Vec<Code> {
    let failing = |action: &Action| if let Action::Mood(_, Mood::Failing(code)) = action { Some(*code) } else { None };
    plan.iter().filter_map(|(_, action)| failing(action)).collect()
}

/// Tasks that panic end in silence; the journal hears of it.
fn note_panics(journal: &Journal) {
    let journal = journal.clone();
    std::panic::set_hook(Box::new(move |panic| journal.violation(format_args!("{panic}"))));
}

/// The simulation and what is still to be done to it.
struct Stage {
    sim: Sim<'static>,
    shop: Shop,
    journal: Journal,
    plan: VecDeque<(Duration, Action)>,
}

impl Stage {
    /// Carries out the plan until the shoppers have done.
    fn until_done(&mut self) {
        loop {
            while let Some((_, action)) = self.plan.pop_front_if(|(at, _)| *at <= self.sim.elapsed()) {
                self.carry_out(action);
            }
            match self.step() {
                Some(false) if !self.journal.is_lost() => {}
                _ => return,
            }
        }
    }

    /// Tells all hosts to end, and waits for it.
    fn drain_all(&mut self) {
        for host in HOSTS {
            self.carry_out(Action::Drain(host));
        }
        let end = self.sim.elapsed() + DRAINED;
        while HOSTS.iter().any(|host| self.shop.is_running(host)) {
            if self.sim.elapsed() > end {
                self.journal.violation("the hosts do not end");
                return;
            }
            if self.step().is_none() {
                return;
            }
        }
    }

    /// A step: whether the shoppers have done. None if the simulation cannot go on.
    fn step(&mut self) -> Option<bool> {
        self.journal.set_now(self.sim.elapsed());
        match self.sim.step() {
            Ok(done) => Some(done),
            Err(error) => {
                self.journal.violation(format_args!("the simulation ended: {error}"));
                None
            }
        }
    }

    fn carry_out(&mut self, action: Action) {
        self.journal.set_now(self.sim.elapsed());
        self.journal.note("FAULT", format_args!("{action:?}"));
        match action {
            Action::Crash(host) => {
                self.sim.crash(host);
                self.shop.crashed(host);
            }
            Action::Drain(host) => {
                self.shop.drain(host);
            }
            Action::Start(host) => self.sim.bounce(host),
            Action::Hold((a, b)) => self.sim.hold(a, b),
            Action::Release((a, b)) => self.sim.release(a, b),
            Action::Cut((a, b)) => self.sim.partition(a, b),
            Action::Mend((a, b)) => self.sim.repair(a, b),
            Action::Delay((a, b), latency) => self.sim.set_link_max_message_latency(a, b, latency),
            Action::Mood(host, mood) => self.shop.health(host).set(mood),
            Action::MoodOfAll(mood) => USERS.iter().for_each(|host| self.shop.health(host).set(mood)),
            Action::SlowDisks(is_slow) => disk::set_slow(is_slow),
        }
    }
}
