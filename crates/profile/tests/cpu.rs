//! Profiles of a process that is busy.

use std::hint::black_box;
use std::io::Read as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prost::Message as _;
use seawall_profile::messages::Profile;
use seawall_profile::{CpuError, cpu};
use tokio::sync::{Mutex, MutexGuard};

/// The tests share the one timer of the process.
async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

/// A thread that is busy until this is dropped.
struct Busy {
    ends: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<u64>>,
}

impl Busy {
    fn new() -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().name("busy".to_owned());
        let until = Arc::clone(&ends);
        Self { ends, thread: Some(thread.spawn(move || turns_the_wheel(&until)).unwrap()) }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

#[inline(never)]
fn turns_the_wheel(ends: &AtomicBool) -> u64 {
    let mut seed = 1;
    while !ends.load(Ordering::Relaxed) {
        seed = black_box(pushes_a_spoke(seed));
    }
    seed
}

#[inline(never)]
fn pushes_a_spoke(mut seed: u64) -> u64 {
    for _ in 0..100_000 {
        seed = black_box(seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
    seed
}

fn decoded(profile: &[u8]) -> Profile {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(profile).read_to_end(&mut bytes).unwrap();
    Profile::decode(&bytes[..]).unwrap()
}

/// The names of a stack's functions, leaf first.
fn names(profile: &Profile, stack: &[u64]) -> Vec<String> {
    let location = |id: &u64| &profile.location[usize::try_from(*id).unwrap() - 1];
    let lines = stack.iter().flat_map(|id| &location(id).line);
    let function = lines.map(|line| &profile.function[usize::try_from(line.function_id).unwrap() - 1]);
    function.map(|function| profile.string_table[usize::try_from(function.name).unwrap()].clone()).collect()
}

#[tokio::test]
async fn a_profile_names_the_busy_function_its_caller_and_its_thread() {
    let _alone = alone().await;
    let _busy = Busy::new();
    let profile = decoded(&cpu(Duration::from_secs(1)).await.unwrap());
    let text = |index: i64| profile.string_table[usize::try_from(index).unwrap()].as_str();
    let types: Vec<_> = profile.sample_type.iter().map(|of| (text(of.r#type), text(of.unit))).collect();
    assert_eq!(types, [("samples", "count"), ("cpu", "nanoseconds")]);
    assert_eq!(profile.string_table[0], "");
    assert!(profile.duration_nanos >= 1_000_000_000 && profile.time_nanos > 0, "{profile:?}");
    let is_ours = |stack: &[String]| {
        let at = |name: &str| stack.iter().position(|function| function.ends_with(name));
        at("pushes_a_spoke").is_some_and(|leaf| at("turns_the_wheel") > Some(leaf))
    };
    let ours = profile.sample.iter().find(|sample| is_ours(&names(&profile, &sample.location_id)));
    let ours = ours.unwrap_or_else(|| panic!("no stack has the busy function and its caller: {profile:#?}"));
    assert_eq!(text(ours.label[0].key), "thread");
    assert_eq!(text(ours.label[0].str), "busy");
    assert_eq!(ours.value[1], ours.value[0] * profile.period);
}

#[tokio::test]
async fn one_profile_is_taken_at_a_time_and_a_dropped_one_ends() {
    let _alone = alone().await;
    let mut first = Box::pin(cpu(Duration::from_secs(3_600)));
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut first).await.is_err());
    assert!(matches!(cpu(Duration::ZERO).await, Err(CpuError::Busy)));
    drop(first);
    // What begins the samples may still be at work on another thread, which then ends them.
    let mut again = cpu(Duration::ZERO).await;
    while matches!(again, Err(CpuError::Busy)) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        again = cpu(Duration::ZERO).await;
    }
    assert!(decoded(&again.unwrap()).duration_nanos < 3_600_000_000_000);
}

#[tokio::test]
async fn go_reads_it() {
    if Command::new("go").arg("version").output().is_err() {
        println!("skipped: go is not on PATH");
        return;
    }
    let _alone = alone().await;
    let _busy = Busy::new();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), cpu(Duration::from_secs(1)).await.unwrap()).unwrap();
    let said = Command::new("go").args(["tool", "pprof", "-top"]).arg(file.path()).output().unwrap();
    let (top, errors) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success(), "{errors}");
    for expected in ["Type: cpu", "pushes_a_spoke"] {
        assert!(top.contains(expected), "{expected} is not in:\n{top}\n{errors}");
    }
}
