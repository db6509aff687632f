//! Whether this machine is one to measure times on.

use std::fmt;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::program::pause;
use crate::statistics::percentile;

/// How long others are watched.
const WATCH: Duration = Duration::from_secs(1);
/// What of a processor others may use before times are not to be trusted.
const BUSY_MAX: f64 = 0.05;
/// How much longer one round of the same arithmetic in ten may take than one in two.
const JITTER_MAX: f64 = 0.05;
/// Rounds of arithmetic, and how long each is.
const ROUNDS: usize = 200;
const STEPS: u64 = 400_000;

/// What a machine is, and how quiet.
#[derive(Debug, Clone)]
pub struct Machine {
    /// What it calls its processor.
    pub model: String,
    /// Processors that we may use.
    pub cores: usize,
    /// What decides their frequency; `None` where nobody says, as in most virtual machines.
    pub governor: Option<String>,
    /// The share of its processors that others used while we did nothing.
    pub busy: f64,
    /// The share that the host gave to others, of a virtual machine.
    pub stolen: f64,
    /// How much longer one round of the same arithmetic in ten takes than one in two.
    pub jitter: f64,
}

impl Machine {
    /// Looks at it for a second or two.
    ///
    /// # Errors
    /// If this is not Linux, or has one processor: a server and who calls it need one each.
    pub fn check() -> Result<Self> {
        let cores = thread::available_parallelism()?.get();
        ensure!(cores >= 2, "a server and who calls it need a processor each, and there is {cores}");
        let cpu_info = fs::read_to_string("/proc/cpuinfo").context("times are taken on Linux alone")?;
        let model = cpu_info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let governor = fs::read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
        let before = Ticks::read()?;
        pause(WATCH);
        let during = Ticks::read()?.since(&before);
        Ok(Self {
            model: model.map_or("unknown", |(_, model)| model).to_owned(),
            cores,
            governor: governor.ok().map(|governor| governor.trim().to_owned()),
            busy: during.busy as f64 / during.all.max(1) as f64,
            stolen: during.stolen as f64 / during.all.max(1) as f64,
            jitter: jitter(),
        })
    }

    /// What is wrong with it, if anything: each as a sentence.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        if let Some(governor) = self.governor.as_ref().filter(|governor| *governor != "performance") {
            complaints.push(format!("the governor of the processors is {governor}, not performance"));
        }
        if self.busy > BUSY_MAX {
            complaints.push(format!("others use {:.0} % of the processors", 100.0 * self.busy));
        }
        if self.jitter > JITTER_MAX {
            complaints.push(format!("the same arithmetic takes {:.0} % longer now and then", 100.0 * self.jitter));
        }
        complaints
    }

    /// The same as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "model": self.model,
            "cores": self.cores,
            "governor": self.governor,
            "busy": self.busy,
            "stolen": self.stolen,
            "jitter": self.jitter,
            "complaints": self.complaints(),
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let governor = self.governor.as_deref().unwrap_or("nobody's");
        write!(f, "{} cores of {}, governor {governor}; ", self.cores, self.model)?;
        let [busy, stolen, jitter] = [self.busy, self.stolen, self.jitter].map(|share| 100.0 * share);
        write!(f, "others use {busy:.1} %, the host takes {stolen:.1} %, jitter {jitter:.1} %")?;
        for complaint in self.complaints() {
            write!(f, "\nnot quiet: {complaint}")?;
        }
        Ok(())
    }
}

/// What the processors were used for, from the first line of `/proc/stat`.
struct Ticks {
    all: u64,
    busy: u64,
    stolen: u64,
}

impl Ticks {
    fn read() -> Result<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        let line = stat.lines().next().context("an empty /proc/stat")?;
        let ticks: Vec<u64> = line.split_whitespace().skip(1).take(8).filter_map(|ticks| ticks.parse().ok()).collect();
        let [_, _, _, idle, waiting, _, _, stolen] = ticks[..] else { anyhow::bail!("not a line of ticks: {line}") };
        let all: u64 = ticks.iter().sum();
        Ok(Self { all, busy: all - idle - waiting - stolen, stolen })
    }

    fn since(&self, before: &Self) -> Self {
        Self { all: self.all - before.all, busy: self.busy - before.busy, stolen: self.stolen - before.stolen }
    }
}

fn jitter() -> f64 {
    let mut nanos: Vec<u64> = (0..ROUNDS)
        .map(|seed| {
            let start = Instant::now();
            let mix = |state: u64, _| (state ^ (state >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17);
            std::hint::black_box((0..STEPS).fold(seed as u64, mix));
            start.elapsed().as_nanos() as u64
        })
        .collect();
    nanos.sort_unstable();
    percentile(&nanos, 0.9) as f64 / percentile(&nanos, 0.5) as f64 - 1.0
}
