//! One attack after the other on a service that is in use: what it does to the attackers, to its memory
//! and to good calls.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum as _;
use serde::Serialize;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};

use crate::attacks::Attack;
use crate::load::{Load, Outcomes};
use crate::service::Service;
use crate::shop;

/// An attacker that goes on for longer was not cut off.
const CUT_OFF_MAX: Duration = Duration::from_secs(5);
/// What the memory of the service may grow by.
const GROWTH_BYTES_MAX: u64 = 64 << 20;
/// How much longer than in quiet times good calls may take.
const SLOWER_MAX: f64 = 2.0;
/// What an attacker that was cut off waits before it comes again.
const COME_BACK: Duration = Duration::from_millis(100);
const MEMORY_INTERVAL: Duration = Duration::from_millis(50);
/// The settings of the service that are not the usual ones: time that attackers are given, which is a
/// matter of how slow good peers may be.
const SETTINGS: [(&str, &str); 2] =
    [("SEAWALL_SERVER_HANDSHAKE_TIMEOUT", "2s"), ("SEAWALL_SERVER_MESSAGE_TIMEOUT", "2s")];

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Good calls a second.
    pub rate: u32,
    /// How long a window of time is, of which each has a p99.
    pub window: Duration,
    /// How often a quiet window is followed by one with the attack.
    pub rounds: u32,
}

/// What came of one attack.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Its name.
    pub attack: String,
    /// What being cut off means for it.
    pub cut_off: &'static str,
    /// How often attackers came.
    pub strikes: u64,
    /// How long it took at most until one was cut off, in seconds.
    pub cut_off_seconds: f64,
    /// How much the memory of the service grew at most, in bytes.
    pub growth_bytes: u64,
    /// The p99 of good calls in the quiet window of each round, in milliseconds.
    pub quiet_p99_ms: Vec<f64>,
    /// The same in the window with the attack.
    pub attacked_p99_ms: Vec<f64>,
    /// How many times as long good calls took: the median over the rounds, each of which compares two
    /// windows that were next to each other, so that what else a machine does weighs on both.
    pub slower: f64,
    /// Good calls during the attack.
    pub calls: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Everything that is not as it must be.
    pub violations: Vec<String>,
}

impl Report {
    /// Whether every attacker was cut off in time.
    pub fn is_cut_off(&self) -> bool {
        self.cut_off_seconds < CUT_OFF_MAX.as_secs_f64()
    }

    /// Whether the memory of the service has grown by no more than it may.
    pub fn is_small(&self) -> bool {
        self.growth_bytes <= GROWTH_BYTES_MAX
    }
}

/// Starts the user service, attacks it, and tells of each attack as it ends.
///
/// # Errors
/// If the service cannot be started or ends, or nothing can be measured.
pub async fn run(program: &Path, attacks: &[Attack], plan: Plan, mut each: impl FnMut(Report)) -> Result<()> {
    let folder = TempDir::new()?;
    let mut settings: Vec<(&'static str, String)> = SETTINGS.map(|(name, value)| (name, value.to_owned())).into();
    settings.push(("SEAWALL_SQL_URL", format!("sqlite://{}", folder.path().join("user.db").display())));
    let service = Service::start("user", program, settings).await?;
    let url = service.url();
    let user_id = shop::create_user(&url).await?;
    let load = Load::start(plan.rate, move || shop::get_user(&url, user_id))?;
    // Until everything has been called once and has its memory.
    load.window(plan.window).await;
    for attack in attacks {
        each(measure(&service, *attack, &load, plan).await?);
    }
    Ok(())
}

async fn measure(service: &Service, attack: Attack, load: &Load, plan: Plan) -> Result<Report> {
    let (mut quiet, mut attacked, mut struck, mut growth) = (Vec::new(), Vec::new(), Struck::default(), 0);
    for _ in 0..plan.rounds {
        quiet.push(load.window(plan.window).await);
        let before = service.resident_bytes()?;
        let attackers = attackers(attack, service.address, plan.window);
        let (during, round, most) = tokio::join!(load.window(plan.window), attackers, most_memory(service, plan));
        attacked.push(during);
        struck.merge(round);
        growth = most?.saturating_sub(before).max(growth);
        // Until its calls and connections are gone.
        sleep(plan.window / 2).await;
    }
    let name = attack.to_possible_value().context("an attack has a name")?.get_name().to_owned();
    Ok(judged(name, attack, &quiet, &attacked, struck, growth))
}

/// What came of the strikes of all attackers.
#[derive(Debug, Default)]
struct Struck {
    strikes: u64,
    longest: Duration,
    /// The first strike that went wrong for us.
    error: Option<anyhow::Error>,
}

impl Struck {
    fn merge(&mut self, other: Self) {
        self.strikes += other.strikes;
        self.longest = self.longest.max(other.longest);
        self.error = self.error.take().or(other.error);
    }
}

/// Attacks for so long, and then until the last attacker was cut off.
async fn attackers(attack: Attack, address: SocketAddr, duration: Duration) -> Struck {
    let end = Instant::now() + duration;
    let mut attackers = JoinSet::new();
    for _ in 0..attack.attackers() {
        attackers.spawn(async move {
            let mut struck = Struck::default();
            while Instant::now() < end && struck.error.is_none() {
                let begun = Instant::now();
                if let Ok(Err(error)) = timeout(CUT_OFF_MAX, attack.strike(address)).await {
                    struck.error = Some(error);
                }
                struck.strikes += 1;
                struck.longest = struck.longest.max(begun.elapsed());
                sleep(COME_BACK).await;
            }
            struck
        });
    }
    let mut all = Struck::default();
    while let Some(Ok(struck)) = attackers.join_next().await {
        all.merge(struck);
    }
    all
}

/// The most memory that the service occupies while it is attacked.
async fn most_memory(service: &Service, plan: Plan) -> Result<u64> {
    let end = Instant::now() + plan.window;
    let (mut due, mut most) = (interval(MEMORY_INTERVAL), 0);
    while due.tick().await < end {
        most = most.max(service.resident_bytes()?);
    }
    Ok(most)
}

fn judged(
    name: String,
    attack: Attack,
    quiet: &[Outcomes],
    during: &[Outcomes],
    struck: Struck,
    growth_bytes: u64,
) -> Report {
    let p99 = |windows: &[Outcomes]| -> Vec<f64> {
        windows.iter().map(|window| window.percentile(99).as_secs_f64() * 1_000.0).collect()
    };
    let (quiet_p99_ms, attacked_p99_ms) = (p99(quiet), p99(during));
    let failed = during.iter().map(|window| window.failed).sum();
    let mut violations = Vec::new();
    let mut check = |is_good: bool, violation: String| {
        if !is_good {
            violations.push(violation);
        }
    };
    check(struck.longest < CUT_OFF_MAX, format!("an attacker was not cut off within {CUT_OFF_MAX:?}"));
    if let Some(error) = struck.error {
        check(false, format!("{error:#}"));
    }
    check(
        growth_bytes <= GROWTH_BYTES_MAX,
        format!("the memory grew by {} MiB, more than {}", growth_bytes >> 20, GROWTH_BYTES_MAX >> 20),
    );
    let ratios: Vec<f64> =
        attacked_p99_ms.iter().zip(&quiet_p99_ms).map(|(attacked, quiet)| attacked / quiet).collect();
    let slower = median(&ratios);
    check(slower <= SLOWER_MAX, format!("good calls took {slower:.1} times as long"));
    let reason = during.iter().flat_map(|window| &window.failures).next().map_or("", |failure| &failure.reason);
    check(failed == 0, format!("{failed} good calls failed: {reason}"));
    Report {
        attack: name,
        cut_off: attack.cut_off(),
        strikes: struck.strikes,
        cut_off_seconds: struck.longest.as_secs_f64(),
        growth_bytes,
        quiet_p99_ms,
        attacked_p99_ms,
        slower,
        calls: during.iter().map(Outcomes::calls).sum(),
        failed,
        violations,
    }
}

/// The middle one; the mean of the two that are in the middle of an even number.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.get(half) {
        Some(upper) if sorted.len().is_multiple_of(2) => (sorted[half - 1] + upper) / 2.0,
        Some(middle) => *middle,
        None => f64::NAN,
    }
}
