//! Services that are replaced again and again while they are called, with peers on them that never go
//! by themselves.
//!
//! Half of the times a process hands its sockets over to a new one; the other half, one of two replicas
//! of the user service is told to end and started again, while the other one takes over.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use seawall_trace::TraceId;
use serde::Serialize;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::attacks::{endless, silent, unread};
use crate::load::{Load, Outcomes};
use crate::peer::Peer;
use crate::service::{Service, adopt_orphans};
use crate::shop;

/// What the services are given to drain. The peers that are stuck have all of them use it up.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// After it, a process must be gone within this.
const GRACE: Duration = Duration::from_secs(1);
/// What a rollout waits before the next replica, so that callers find the one that has come back.
const BETWEEN_REPLICAS: Duration = Duration::from_secs(1);
/// The drain timeout of those that are told twice, and how soon after that they must be gone.
const LONG_DRAIN_TIMEOUT: Duration = Duration::from_secs(60);
const AT_ONCE: Duration = Duration::from_secs(1);
/// How often somebody is told twice.
const INSIST_TIMES: u32 = 5;
/// The exit code of a process that was ended by force.
const EXIT_FORCED: i32 = 70;

/// What came of one kind of restarts.
#[derive(Debug, Serialize)]
pub struct Restarts {
    /// What was done.
    pub case: &'static str,
    /// What must be.
    pub expected: String,
    /// How often.
    pub times: u32,
    /// Idempotent calls that ended meanwhile.
    pub calls: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// The p99 of their latencies, in milliseconds.
    pub p99_ms: f64,
    /// How long after it was due a call was begun, at most, in milliseconds: so long the machine stood still.
    pub late_ms: f64,
    /// How long a process took to end, at most, in seconds.
    pub end_seconds: f64,
    /// Whether that was in time.
    pub is_gone_in_time: bool,
    /// Everything that was not as it must be.
    pub violations: Vec<String>,
}

/// The kinds.
#[derive(Debug, Clone, Copy)]
enum Case {
    OrderHandsOver,
    UserHandsOver,
    UserIsReplaced,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Case {
    const ALL: [Self; 3] = [Self::OrderHandsOver, Self::UserHandsOver, Self::UserIsReplaced];

    fn name(self) -> &'static str {
        match self {
            Self::OrderHandsOver => "SIGUSR2 to order, which hands over",
            Self::UserHandsOver => "SIGUSR2 to a user, which hands over",
            Self::UserIsReplaced => "SIGTERM to a user, then it starts again",
        }
    }
}

/// Both services, called all the time.
struct Shop {
    users: [Service; 2],
    order: Service,
    load: Load,
    folder: TempDir,
}

/// Starts the services, restarts them so many times, and tells what came of it. `each` is told the number of
/// each restart that is done.
///
/// # Errors
/// If a service cannot be started, or does not do what it is told.
pub async fn run(
    user: &Path,
    order: &Path,
    restarts: u32,
    rate: u32,
    mut each: impl FnMut(u32),
) -> Result<Vec<Restarts>> {
    adopt_orphans()?;
    let mut shop = Shop::start(user, order, rate).await?;
    let mut all: [(u32, Outcomes, Duration, Vec<String>); 3] = Default::default();
    sleep(BETWEEN_REPLICAS).await;
    shop.load.take();
    for n in 0..restarts {
        let case = match n % 4 {
            0 => Case::OrderHandsOver,
            1 => Case::UserHandsOver,
            _ => Case::UserIsReplaced,
        };
        let took = shop.restart(case, (n / 2 + n) as usize % 2).await?;
        let outcomes = shop.load.take();
        let (times, calls, longest, violations) = &mut all[case as usize];
        *times += 1;
        *longest = took.max(*longest);
        if took > DRAIN_TIMEOUT + GRACE {
            violations.push(format!("{case}: it took {took:.1?} to end"));
        }
        for failure in &outcomes.failures {
            violations.push(format!("{case}: a call failed, restart {}: {}", n + 1, failure.reason));
            violations.extend(shop.log_of(failure.trace));
        }
        calls.merge(outcomes);
        each(n + 1);
    }
    let insisted = shop.insist(user).await?;
    let rows = Case::ALL.into_iter().zip(all).filter(|(_, (times, ..))| *times > 0);
    let rows = rows.map(|(case, (times, outcomes, longest, violations))| Restarts {
        case: case.name(),
        expected: format!("no call fails, gone within {:?}", DRAIN_TIMEOUT + GRACE),
        times,
        calls: outcomes.calls(),
        failed: outcomes.failed,
        p99_ms: outcomes.percentile(99).as_secs_f64() * 1_000.0,
        late_ms: outcomes.late.as_secs_f64() * 1_000.0,
        end_seconds: longest.as_secs_f64(),
        is_gone_in_time: longest <= DRAIN_TIMEOUT + GRACE,
        violations,
    });
    Ok(rows.chain([insisted]).collect())
}

impl Shop {
    async fn start(user: &Path, order: &Path, rate: u32) -> Result<Self> {
        let folder = folder()?;
        // A successor runs what is on disk, which somebody may build anew meanwhile.
        let (own_user, own_order) = (folder.path().join("user"), folder.path().join("order"));
        std::fs::copy(user, &own_user).with_context(|| format!("{} cannot be copied", user.display()))?;
        std::fs::copy(order, &own_order).with_context(|| format!("{} cannot be copied", order.display()))?;
        let (user, order) = (&*own_user, &*own_order);
        let settings = |name: &str| settings(&folder, name, DRAIN_TIMEOUT);
        let first = Service::start("user", user, settings("user")).await?;
        let users = [first, Service::start("user", user, settings("user")).await?];
        let urls = format!("{},{}", users[0].url(), users[1].url());
        let mut of_order = settings("order");
        of_order.push(("SEAWALL_USER_ADDRESS", urls.clone()));
        let order = Service::start("order", order, of_order).await?;
        let (user_id, url) = (shop::create_user(&users[0].url()).await?, order.url());
        let load = Load::start(rate, move || shop::idempotent(&urls, &url, user_id))?;
        Ok(Self { users, order, load, folder })
    }

    /// Replaces one process, and answers how long the old one took to end.
    async fn restart(&mut self, case: Case, replica: usize) -> Result<Duration> {
        let service = match case {
            Case::OrderHandsOver => &mut self.order,
            Case::UserHandsOver | Case::UserIsReplaced => &mut self.users[replica],
        };
        let _stuck = stuck(service).await?;
        if matches!(case, Case::OrderHandsOver | Case::UserHandsOver) {
            return service.hand_over().await;
        }
        let took = service.terminate().await?;
        service.start_again().await?;
        sleep(BETWEEN_REPLICAS).await;
        Ok(took)
    }

    /// What the services have written about a trace.
    fn log_of(&self, trace: TraceId) -> Vec<String> {
        self.users.iter().chain([&self.order]).flat_map(|service| service.log_of(trace)).collect()
    }

    /// Tells a user service to end, twice.
    async fn insist(&self, user: &Path) -> Result<Restarts> {
        let (mut longest, mut violations) = (Duration::ZERO, Vec::new());
        for n in 0..INSIST_TIMES {
            let mut service = Service::start("user", user, settings(&self.folder, "user", LONG_DRAIN_TIMEOUT)).await?;
            let _stuck = stuck(&service).await?;
            service.signal(if n % 2 == 0 { Signal::SIGTERM } else { Signal::SIGINT })?;
            service.drains().await?;
            let (status, took) = service.insist().await?;
            longest = longest.max(took);
            if took > AT_ONCE {
                violations.push(format!("a second signal: it took {took:.1?} to end"));
            }
            if !matches!(status, WaitStatus::Exited(_, EXIT_FORCED)) {
                violations.push(format!("a second signal: it ended with {status:?}"));
            }
        }
        let outcomes = self.load.take();
        violations.extend(
            outcomes.failures.iter().map(|failure| format!("a second signal: a call failed: {}", failure.reason)),
        );
        Ok(Restarts {
            case: "SIGTERM or SIGINT, then a second signal",
            expected: format!("gone within {AT_ONCE:?}, drain timeout {LONG_DRAIN_TIMEOUT:?}"),
            times: INSIST_TIMES,
            calls: outcomes.calls(),
            failed: outcomes.failed,
            p99_ms: outcomes.percentile(99).as_secs_f64() * 1_000.0,
            late_ms: outcomes.late.as_secs_f64() * 1_000.0,
            end_seconds: longest.as_secs_f64(),
            is_gone_in_time: longest <= AT_ONCE,
            violations,
        })
    }
}

/// Where the databases are: in memory where the system has such a place. A disk that stands still for half a
/// second, as those of virtual machines do, would fail calls that no restart has failed.
fn folder() -> Result<TempDir> {
    let in_memory = Path::new("/dev/shm");
    Ok(if in_memory.is_dir() { TempDir::new_in(in_memory)? } else { TempDir::new()? })
}

fn settings(folder: &TempDir, name: &str, drain_timeout: Duration) -> Vec<(&'static str, String)> {
    let database = folder.path().join(format!("{name}.db"));
    vec![
        ("SEAWALL_SQL_URL", format!("sqlite://{}", database.display())),
        ("SEAWALL_SERVER_DRAIN_TIMEOUT", format!("{}s", drain_timeout.as_secs())),
        // So that a call that fails can be followed.
        ("SEAWALL_TELEMETRY_ACCESS_LOG", "true".to_owned()),
    ]
}

/// Peers that never go: one that says nothing, one with a call that never ends, one that does not read.
async fn stuck(service: &Service) -> Result<[Peer; 3]> {
    let address = service.address;
    Ok([silent(address).await?, endless(address).await?, unread(address).await?])
}
