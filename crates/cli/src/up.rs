//! `cargo seawall up`: builds the services, runs them, and says how to call them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::{Result, bail};
use tokio::task::LocalSet;

use crate::environment::{self, Surroundings};
use crate::layout::Layout;
use crate::lock::Lock;
use crate::log_tail::Tail;
use crate::ports::Ports;
use crate::signals::Signals;
use crate::state::{Condition, Phase, ServiceState, State};
use crate::supervisor::{Board, Event, Plan, Supervisor, end_leftovers};
use crate::workspace::{Service, Workspace};
use crate::{compile, detach, docker, examples, log_line, report, terminal, topology};

/// The last lines of the log of a service that did not start.
const LAST_LINES: usize = 20;

/// Builds and runs the services, and says how to call them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo seawall up                         everything, until Ctrl-C
  cargo seawall up order                   order and the services it calls
  cargo seawall up --detach                in the background; end it with: cargo seawall down
  cargo seawall up docker                  in containers, by docker-compose.yml

Data, logs and traces lie in .seawall/ of the workspace and stay there. What you set as SEAWALL_*
reaches the services that know it, as in: SEAWALL_TELEMETRY_SAMPLE_RATIO=0.1 cargo seawall up")]
pub(crate) struct Args {
    /// Only these services and what they call [default: all]; `docker` for all in containers
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
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
        return docker::up(&workspace, args.detach);
    }
    // Mistakes in names are told before anything is started, also when detached.
    let services = topology::start_order(&workspace.services, &args.services)?;
    // One thread: a child is bound to the thread that starts it, which must be the main thread.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if args.detach {
        return runtime.block_on(detach::run(&workspace.layout(), args.json));
    }
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
            terminal::warning("Ended", format!("{left} processes that an earlier `up` left behind when it was killed"));
        }
    }
    let addresses = Addresses::pick(&services)?;
    let state = addresses.state(&services);
    let board = Rc::new(Board::new(state, layout.state()));
    let outcome = run_stack(args, workspace, &services, &addresses, &board, &mut signals).await;
    std::fs::remove_file(layout.state())?;
    outcome
}

fn runs_already(layout: &Layout) -> Result<anyhow::Error> {
    let holder = State::read(&layout.state())?.map_or_else(String::new, |state| format!(" (pid {})", state.pid));
    Ok(anyhow::anyhow!(
        "another `up` runs in this workspace{holder}; see it with `cargo seawall ps`, end it with `cargo seawall down`"
    ))
}

async fn run_stack(
    args: &Args,
    workspace: &Workspace,
    services: &[Service],
    addresses: &Addresses,
    board: &Rc<Board>,
    signals: &mut Signals,
) -> Result<ExitCode> {
    let programs = match &args.prebuilt {
        Some(folder) => compile::prebuilt(folder, services)?,
        None => tokio::select! {
            programs = compile::build(&workspace.root, services, args.release) => programs?,
            () = signals.next() => bail!("interrupted while building"),
        },
    };
    let layout = workspace.layout();
    let mut logs: BTreeMap<String, Tail> =
        services.iter().map(|service| (service.name.clone(), Tail::from_end(&layout, &service.name))).collect();
    let plans = services.iter().map(|service| plan(service, workspace, addresses, &programs)).collect();
    let mut supervisor = Supervisor::start(plans, Rc::clone(board));
    let failure = wait_until_ready(&mut supervisor, services.len(), signals, &mut logs).await;
    if failure.is_ok() {
        board.update(|state| state.phase = Phase::Ready);
        // A table that nobody reads is no reason to end.
        let _ = match (args.json, args.detached) {
            (true, _) => board.read(|state| report::json(&state.snapshot)),
            (false, false) => board.read(report::ready),
            (false, true) => Ok(()),
        };
        watch(&mut supervisor, signals).await;
        terminal::status("Stopping", "services drain; once more to end at once");
    }
    supervisor.stop(async || signals.next().await).await;
    failure?;
    terminal::status("Stopped", "all services");
    Ok(ExitCode::SUCCESS)
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
        anstream::eprintln!("{}", log_line::pretty(name, line, name.len()));
    }
    anyhow::anyhow!(
        "{name} did not start: {cause}; the others are stopped\n  correct what the log says and run `cargo seawall up` \
         again; all of the log: `cargo seawall logs {name}`"
    )
}

/// Tells what happens until the user wants to end.
async fn watch(supervisor: &mut Supervisor, signals: &mut Signals) {
    loop {
        tokio::select! {
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
            terminal::status("Serving", format!("{name} again, pid {pid}"))
        }
        Event::StartFailed { name, cause } => terminal::warning("Failed", format!("{name}: {cause}")),
        Event::Died { name, cause, restart_in } => {
            let again = format!("starting it again in {:.1} s", restart_in.as_secs_f64());
            terminal::warning("Died", format!("{name}: {cause}; {again} (cargo seawall logs {name})"));
        }
    }
}

/// Where everything listens; the same over all restarts of a service.
struct Addresses {
    grpc: BTreeMap<String, SocketAddr>,
    metrics: BTreeMap<String, SocketAddr>,
}

impl Addresses {
    fn pick(services: &[Service]) -> Result<Self> {
        let preferred = services.iter().flat_map(|service| [service.metadata.port, service.metadata.metrics_port]);
        let mut ports = Ports::new(preferred);
        let mut pick = |what: String, preferred: u16| -> Result<SocketAddr> {
            let address = ports.pick(preferred)?;
            if address.port() != preferred {
                terminal::warning("Port", format!("{preferred} of {what} is taken; using {}", address.port()));
            }
            Ok(address)
        };
        let (mut grpc, mut metrics) = (BTreeMap::new(), BTreeMap::new());
        for Service { name, metadata, .. } in services {
            grpc.insert(name.clone(), pick(name.clone(), metadata.port)?);
            metrics.insert(name.clone(), pick(format!("{name}'s metrics"), metadata.metrics_port)?);
        }
        Ok(Self { grpc, metrics })
    }

    fn state(&self, services: &[Service]) -> State {
        let service = |Service { name, metadata, .. }: &Service| ServiceState {
            name: name.clone(),
            address: self.grpc[name].to_string(),
            metrics: self.metrics[name].to_string(),
            state: Condition::Starting,
            pid: None,
            backend: metadata.sql.then(|| "sqlite".to_owned()),
        };
        let mut snapshot = crate::state::Snapshot::default();
        snapshot.services = services.iter().map(service).collect();
        State {
            pid: std::process::id(),
            phase: Phase::Starting,
            snapshot,
            processes: Vec::new(),
            examples: examples::lines(services, &self.grpc),
        }
    }
}

fn plan(service: &Service, workspace: &Workspace, addresses: &Addresses, programs: &BTreeMap<String, PathBuf>) -> Plan {
    let layout = workspace.layout();
    let name = &service.name;
    let around = Surroundings {
        listen: addresses.grpc[name],
        metrics_listen: addresses.metrics[name],
        addresses: &addresses.grpc,
        known: &workspace.services,
        otlp: None,
        sql_url: Some(format!("sqlite://{}", layout.data().join(format!("{name}.db")).display())),
        redis_url: None,
    };
    let inherited = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    Plan {
        name: name.clone(),
        program: programs[name].clone(),
        address: addresses.grpc[name],
        environment: environment::changes(service, &around, inherited),
        calls: service.metadata.calls.clone(),
        log: layout.log(name),
        old_log: layout.old_log(name),
    }
}
