//! `cargo seawall up`: builds the services, runs them, and says how to call them.

mod addresses;
mod authority;
mod backing;
mod plan;
mod traces;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::task::LocalSet;

use crate::layout::Layout;
use crate::lock::Lock;
use crate::log_tail::Tail;
use crate::signals::Signals;
use crate::state::{Phase, State};
use crate::supervisor::{Board, Event, Plan, Supervisor, end_leftovers};
use crate::tls::Tls;
use crate::workspace::{Service, Workspace};
use crate::{compile, detach, docker, log_line, report, terminal, topology};
use addresses::Addresses;
use authority::Authority;
use backing::{Backing, With};
use traces::Traces;

/// The last lines of the log of a service that did not start.
const LAST_LINES: usize = 20;

/// Everything has ended within this time of the wish.
const END_TIMEOUT: Duration = Duration::from_millis(4_900);
/// How often it is seen whether what runs beside the services is still there.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Builds and runs the services, and says how to call them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo seawall up                         everything, until Ctrl-C
  cargo seawall up order                   order and the services it calls
  cargo seawall up --detach                in the background; end it with: cargo seawall down
  cargo seawall up --with postgres,jaeger  on PostgreSQL, and traces also to Jaeger
  cargo seawall up --with postgres=postgres://me@db:5432/postgres
  cargo seawall up --tls                   services call each other, and you them, by mutual TLS
  cargo seawall up docker                  in containers, by docker-compose.yml

Data, logs and traces lie in .seawall/ of the workspace and stay there. What you set as SEAWALL_*
reaches the services that know it, as in: SEAWALL_TELEMETRY_SAMPLE_RATIO=0.1 cargo seawall up")]
pub(crate) struct Args {
    /// Only these services and what they call [default: all]; `docker` for all in containers
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Beside the services: postgres, redis, jaeger, from this machine's programs or as NAME=URL
    #[arg(long, value_name = "NAME[=URL],…", value_delimiter = ',')]
    with: Vec<With>,
    /// Have everybody prove who they are: mutual TLS, with a certificate authority of this run
    #[arg(long)]
    tls: bool,
    /// Return when everything is ready, and leave it running
    #[arg(short, long)]
    detach: bool,
    /// Print what runs as one line of JSON when it is ready, as `ps --json` does
    #[arg(long)]
    json: bool,
    /// Build with optimizations
    #[arg(long)]
    release: bool,
    /// Run executables from this folder instead of building them
    #[arg(long, value_name = "FOLDER", conflicts_with = "release")]
    prebuilt: Option<PathBuf>,
    /// This is the `up` that runs in the background.
    #[arg(long, hide = true)]
    detached: bool,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    if args.services.iter().any(|name| name == "docker") {
        if args.tls {
            bail!("`--tls` is for services on this machine; in containers, set SEAWALL_TLS_* in docker-compose.yml");
        }
        return docker::up(&workspace, args.detach);
    }
    // Mistakes in names are told before anything is started, also when detached.
    backing::check(&args.with)?;
    let services = topology::start_order(&workspace.services, &args.services)?;
    // One thread: a child is bound to the thread that starts it, which must be the main thread.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if args.detach {
        return runtime.block_on(detach::run(&workspace.layout(), args.json));
    }
    // What the receiver of traces and the servers beside the services have to say.
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_writer(std::io::stderr)
        // Else it panics when standard error has been closed.
        .log_internal_errors(false)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .init();
    if args.detached {
        nix::unistd::setsid()?;
    }
    LocalSet::new().block_on(&runtime, up(&args, &workspace, services))
}

async fn up(args: &Args, workspace: &Workspace, services: Vec<Service>) -> Result<ExitCode> {
    let layout = workspace.layout();
    let mut signals = Signals::listen()?;
    layout.create()?;
    let Some(_lock) = Lock::take(&layout.lock()).await? else { return Err(runs_already(&layout)?) };
    if let Some(state) = State::read(&layout.state())? {
        let left = end_leftovers(&state).await;
        if left > 0 {
            let left = terminal::count(left, "process", "processes");
            terminal::warning("Ended", format!("{left} that an earlier `up` left behind when it was killed"));
        }
    }
    let tls = args.tls.then(|| layout.tls());
    let addresses = Addresses::preferred(&services);
    let state = plan::state(&services, &addresses, backing::sql_backend(&args.with), tls.as_ref())?;
    let run = Run { args, workspace, services: &services, tls, board: Rc::new(Board::new(state, layout.state())) };
    let outcome = run.all(&mut signals).await;
    std::fs::remove_file(layout.state())?;
    outcome
}

/// The complaint about a second `up`.
pub(crate) fn runs_already(layout: &Layout) -> Result<anyhow::Error> {
    let holder = State::read(&layout.state())?.map_or_else(String::new, |state| format!(" (pid {})", state.pid));
    Ok(anyhow::anyhow!(
        "another `up` runs in this workspace{holder}; see it with `cargo seawall ps`, end it with `cargo seawall down`"
    ))
}

/// One run, from the build to the end.
struct Run<'a> {
    args: &'a Args,
    workspace: &'a Workspace,
    services: &'a [Service],
    tls: Option<Tls>,
    board: Rc<Board>,
}

impl Run<'_> {
    /// Builds, starts what services need, runs them, and ends everything in the reverse order.
    async fn all(&self, signals: &mut Signals) -> Result<ExitCode> {
        let layout = self.workspace.layout();
        let programs = tokio::select! {
            programs = self.programs() => programs?,
            () = signals.next() => bail!("interrupted while building"),
        };
        // Not before the build, which takes long enough for somebody else to take a port.
        let mut addresses = Addresses::pick_all(self.services, &self.workspace.services)?;
        let state = plan::state(self.services, &addresses, backing::sql_backend(&self.args.with), self.tls.as_ref())?;
        let authority = self.tls.as_ref().map(|tls| Authority::create(tls, self.services)).transpose()?;
        self.board.update(|known| *known = state);
        let mut backing = tokio::select! {
            backing = Backing::start(&self.args.with, &layout, &mut addresses, self.services) => backing?,
            () = signals.next() => bail!("interrupted while starting"),
        };
        let traces = Traces::start(&layout, &mut addresses, backing.forward_url().as_deref()).await?;
        self.board.update(|state| {
            state.snapshot.otlp = Some(addresses.otlp.to_string());
            state.snapshot.jaeger = backing.jaeger_url();
            state.snapshot.redis = backing.redis_url().as_deref().map(backing::without_secrets);
        });
        let plan = |service: &Service| {
            let program = programs[&service.name].clone();
            plan::plan(service, self.workspace, &addresses, &backing, self.tls.as_ref(), program)
        };
        let plans: Result<Vec<Plan>> = self.services.iter().map(plan).collect();
        let (outcome, end) = match plans {
            Ok(plans) => self.services(plans, &mut backing, authority, signals).await,
            Err(error) => (Err(error), Instant::now() + END_TIMEOUT),
        };
        traces.stop().await;
        backing.stop(end.saturating_duration_since(Instant::now())).await;
        outcome?;
        terminal::status("Stopped", "everything");
        Ok(ExitCode::SUCCESS)
    }

    async fn programs(&self) -> Result<BTreeMap<String, PathBuf>> {
        match &self.args.prebuilt {
            Some(folder) => compile::prebuilt(folder, self.services),
            None => compile::build(&self.workspace.root, self.services, self.args.release).await,
        }
    }

    /// Runs the services until somebody wants to end, or one does not start. Answers also by when
    /// everything else should have ended.
    async fn services(
        &self,
        plans: Vec<Plan>,
        backing: &mut Backing,
        authority: Option<Authority>,
        signals: &mut Signals,
    ) -> (Result<()>, Instant) {
        let layout = self.workspace.layout();
        let logs = self.services.iter().map(|service| (service.name.clone(), Tail::from_end(&layout, &service.name)));
        let mut logs = logs.collect();
        let mut supervisor = Supervisor::start(plans, Rc::clone(&self.board));
        let outcome = wait_until_ready(&mut supervisor, self.services.len(), signals, &mut logs).await;
        if outcome.is_ok() {
            self.ready(&layout);
            watch(&mut supervisor, backing, authority, signals).await;
            terminal::status("Stopping", "services drain; once more to end at once");
        }
        let end = Instant::now() + END_TIMEOUT;
        supervisor.stop(async || signals.next().await).await;
        (outcome, end)
    }

    fn ready(&self, layout: &Layout) {
        self.board.update(|state| state.phase = Phase::Ready);
        let Args { json, detached, .. } = self.args;
        // A table that nobody reads is no reason to end.
        let _ = match (json, detached) {
            (true, _) => self.board.read(|state| report::json(&state.snapshot)),
            (false, false) => self.board.read(|state| report::ready(state, &layout.tools(), "Ctrl-C")),
            (false, true) => Ok(()),
        };
    }
}

/// Fails with what to tell if a service does not start, or on Ctrl-C.
async fn wait_until_ready(
    supervisor: &mut Supervisor,
    count: usize,
    signals: &mut Signals,
    logs: &mut BTreeMap<String, Tail>,
) -> Result<()> {
    let mut serving = 0;
    while serving < count {
        let event = tokio::select! {
            event = supervisor.event() => event,
            () = signals.next() => bail!("interrupted while starting"),
        };
        match event {
            Some(Event::StartFailed { name, cause }) => {
                return Err(start_failure(&name, &cause, logs.get_mut(&name)));
            }
            Some(event) => {
                serving += usize::from(matches!(event, Event::Serving { again: false, .. }));
                tell(&event);
            }
            None => bail!("the supervisor has ended"),
        }
    }
    Ok(())
}

fn start_failure(name: &str, cause: &str, log: Option<&mut Tail>) -> anyhow::Error {
    let lines = log.and_then(|log| log.lines().ok()).unwrap_or_default();
    if lines.is_empty() {
        terminal::warning("Log", format!("{name} wrote nothing"));
    } else {
        terminal::warning("Log", format!("the last lines of {name}:"));
    }
    for line in &lines[lines.len().saturating_sub(LAST_LINES)..] {
        terminal::progress(log_line::pretty(name, line, name.len()));
    }
    anyhow::anyhow!(
        "{name} did not start: {cause}; the others are stopped\n  correct what the log says and run `cargo seawall up` \
         again; all of the log: `cargo seawall logs {name}`"
    )
}

/// Tells what happens until the user wants to end.
async fn watch(
    supervisor: &mut Supervisor,
    backing: &mut Backing,
    mut authority: Option<Authority>,
    signals: &mut Signals,
) {
    let mut look = tokio::time::interval(LOOK_INTERVAL);
    loop {
        tokio::select! {
            _ = look.tick() => {
                if let Some(authority) = &mut authority {
                    authority.renew();
                }
                if let Some(name) = backing.newly_ended() {
                    let log = format!(".seawall/logs/{name}.log says why");
                    terminal::warning("Died", format!("{name}, which services use; {log}; start again with `cargo seawall up`"));
                }
            }
            () = signals.next() => return,
            event = supervisor.event() => match event {
                Some(event) => tell(&event),
                None => return,
            },
        }
    }
}

fn tell(event: &Event) {
    match event {
        Event::Serving { name, after, again: false, .. } => {
            terminal::status("Serving", format!("{name} after {:.1} s", after.as_secs_f64()));
        }
        Event::Serving { name, pid, again: true, .. } => {
            terminal::status("Serving", format!("{name} again, pid {pid}"));
        }
        Event::StartFailed { name, cause } => terminal::warning("Failed", format!("{name}: {cause}")),
        Event::Died { name, cause, restart_in } => {
            let again = format!("starting it again in {:.1} s", restart_in.as_secs_f64());
            terminal::warning("Died", format!("{name}: {cause}; {again} (cargo seawall logs {name})"));
        }
    }
}
