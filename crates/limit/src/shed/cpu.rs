//! How busy this process keeps the processors that it may use.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::available_parallelism;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// As in go-zero: a new value each time, of which this much is taken over. A burst of a second raises
/// the load by a fifth of what it would be; half a minute of it shows in full.
const INTERVAL: Duration = Duration::from_millis(250);
const KEPT: f64 = 0.95;

/// The load of this process, kept up by a [`CpuSampler`]. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct CpuLoad(Arc<AtomicU64>);

impl CpuLoad {
    /// A load of 0, and what keeps it up from now on when it is [`run`](CpuSampler::run).
    pub fn new() -> (Self, CpuSampler) {
        let load = Self::default();
        let sampler = CpuSampler { load: Arc::downgrade(&load.0), cpus: cpus() };
        (load, sampler)
    }

    /// The load: 1 when all processors that the process may use are busy with it.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    #[cfg(test)]
    pub(crate) fn set(&self, load: f64) {
        self.0.store(load.to_bits(), Ordering::Relaxed);
    }
}

/// Reads every 250 ms how much processor time this process has used.
#[derive(Debug)]
#[must_use = "the load stays 0 unless this runs"]
pub struct CpuSampler {
    load: Weak<AtomicU64>,
    cpus: f64,
}

impl CpuSampler {
    /// Runs until nobody has the load any more. To drop it is to stop it.
    pub async fn run(self) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut then, mut used_then) = (Instant::now(), used());
        loop {
            ticks.tick().await;
            let Some(load) = self.load.upgrade() else { return };
            let (now, used_now) = (Instant::now(), used());
            let before = f64::from_bits(load.load(Ordering::Relaxed));
            let after = decayed(before, used_now.saturating_sub(used_then), now - then, self.cpus);
            load.store(after.to_bits(), Ordering::Relaxed);
            (then, used_then) = (now, used_now);
        }
    }
}

/// The load after one more interval in which `used` of the time of `cpus` was used.
fn decayed(load: f64, used: Duration, passed: Duration, cpus: f64) -> f64 {
    if passed.is_zero() {
        return load;
    }
    let now = used.as_secs_f64() / (passed.as_secs_f64() * cpus);
    load * KEPT + now.min(1.0) * (1.0 - KEPT)
}

/// The processor time that this process has used. One that cannot be read is none: a load that stays
/// low sheds nobody.
fn used() -> Duration {
    let time = |time: TimeVal| {
        let seconds = Duration::from_secs(u64::try_from(time.tv_sec()).unwrap_or(0));
        seconds + Duration::from_micros(u64::try_from(time.tv_usec()).unwrap_or(0))
    };
    getrusage(UsageWho::RUSAGE_SELF).map_or(Duration::ZERO, |usage| time(usage.user_time()) + time(usage.system_time()))
}

/// How many processors this process may use, by its affinity and by the quota of its control groups.
fn cpus() -> f64 {
    let parallelism = available_parallelism().map_or(1.0, |cpus| cpus.get() as f64);
    let quota = fs::read_to_string("/proc/self/cgroup")
        .ok()
        .and_then(|groups| quota_cpus(&groups, Path::new("/sys/fs/cgroup")));
    // The standard library knows the quota too, but rounds it: half of a processor is one to it.
    quota.map_or(parallelism, |quota| quota.min(parallelism))
}

/// The least quota of the control group (version 2) that `groups` names and of those that it is in.
fn quota_cpus(groups: &str, root: &Path) -> Option<f64> {
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let group = root.join(group);
    group
        .ancestors()
        .take_while(|group| group.starts_with(root))
        .filter_map(|group| quota(&fs::read_to_string(group.join("cpu.max")).ok()?))
        .reduce(f64::min)
}

/// The quota in a `cpu.max`: `max 100000` is none, `150000 100000` one and a half.
fn quota(cpu_max: &str) -> Option<f64> {
    let (quota, period) = cpu_max.trim().split_once(' ')?;
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_quota_on_the_way_to_the_root_counts() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("a/b");
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("cpu.max"), "max 100000\n").unwrap();
        assert_eq!(quota_cpus("0::/a/b\n", root.path()), None);
        fs::write(root.path().join("a/cpu.max"), "50000 100000\n").unwrap();
        fs::write(root.path().join("cpu.max"), "150000 100000\n").unwrap();
        assert_eq!(quota_cpus("1:cpu:/old\n0::/a/b\n", root.path()), Some(0.5));
        assert_eq!(quota_cpus("0::/\n", root.path()), Some(1.5));
        assert_eq!(quota_cpus("1:cpu:/old\n", root.path()), None);
    }

    #[test]
    fn the_load_follows_within_half_a_minute_and_stays_within_one() {
        let tick = |load, used_ms| decayed(load, Duration::from_millis(used_ms), INTERVAL, 2.0);
        let after = |ticks: u32, used_ms| (0..ticks).fold(0.0, |load, _| tick(load, used_ms));
        assert!((after(4, 500) - 0.185).abs() < 0.001, "{}", after(4, 500));
        assert!((0.99..1.0).contains(&after(120, 500)), "{}", after(120, 500));
        assert!((after(200, 250) - 0.5).abs() < 0.001);
        assert!(after(200, 5_000) <= 1.0);
        assert_eq!(decayed(0.3, Duration::from_secs(1), Duration::ZERO, 2.0), 0.3);
    }

    #[tokio::test(start_paused = true)]
    async fn the_load_is_kept_up_until_nobody_has_it() {
        let (load, sampler) = CpuLoad::new();
        let sampling = tokio::spawn(sampler.run());
        // The clock is paused and the processor is not: what is used in no time is all there is.
        tokio::time::sleep(INTERVAL * 3).await;
        let used_up: f64 = (0..3_000_000).map(f64::from).map(f64::sqrt).sum();
        tokio::time::sleep(INTERVAL).await;
        assert!(used_up > 0.0 && load.get() > 0.0 && load.get() <= 1.0, "{}", load.get());
        drop(load);
        sampling.await.unwrap();
    }
}
