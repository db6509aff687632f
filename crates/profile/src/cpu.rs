//! Samples of what the processors do, by the signal of a timer that runs as the process uses them.

use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::signal::{Signal, raise};
use pprof::{ProfilerGuard, ProfilerGuardBuilder};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;

use crate::encode::encode;

/// Samples per second of processor time. Not a round number, so that work which is done a hundred times a
/// second is not always met, or never.
const FREQUENCY_HZ: i32 = 99;

/// The process has one timer of this kind.
static TURN: Semaphore = Semaphore::const_new(1);

/// Why there is no profile of the processor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CpuError {
    /// Another one is being taken; this process can take one at a time.
    #[error("another CPU profile is being taken, and there can be one at a time")]
    Busy,
    /// The timer, the signal or what they need cannot be had.
    #[error("cannot take samples")]
    Sample(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The samples cannot be written down.
    #[error("cannot write the profile")]
    Write(#[source] std::io::Error),
    /// The runtime ends.
    #[error("the process ends")]
    Ends(#[from] tokio::task::JoinError),
}

/// What takes samples until it is dropped. The turn is given back after the timer.
struct Sampling {
    guard: ProfilerGuard<'static>,
    _turn: SemaphorePermit<'static>,
}

/// What the process did with its processors in `duration`: a gzipped `perftools.profiles.Profile` with the
/// sample types `samples` (count) and `cpu` (nanoseconds), and the label `thread`.
///
/// The samples are taken where the process uses a processor, in the kernel as well; a thread that waits has
/// none. It takes some milliseconds of the processor for each second, and once as long to find the
/// names of functions as the program has debugging information.
///
/// # Errors
/// [`CpuError::Busy`] while another one is taken.
///
/// # Cancel safety
/// Dropping the future ends the samples; there is no profile then.
pub async fn cpu(duration: Duration) -> Result<Vec<u8>, CpuError> {
    let turn = TURN.try_acquire().map_err(|_| CpuError::Busy)?;
    let sampling = spawn_blocking(move || begin(turn)).await??;
    tokio::time::sleep(duration).await;
    spawn_blocking(move || {
        let report = sampling.guard.report().build().map_err(cannot)?;
        drop(sampling);
        encode(&report).map_err(CpuError::Write)
    })
    .await?
}

fn begin(turn: SemaphorePermit<'static>) -> Result<Sampling, CpuError> {
    static PREPARED: OnceLock<()> = OnceLock::new();
    if PREPARED.get().is_none() {
        prepare()?;
        let _ = PREPARED.set(());
    }
    let guard = start(FREQUENCY_HZ)?;
    Ok(Sampling { guard, _turn: turn })
}

/// Reads the unwind tables of the program and its libraries, which the library does at its first sample. A
/// signal may come while its thread has locked the allocator, and what reads tables allocates, so the
/// first signal is one that we send to this thread ourselves, before the timer's could come.
fn prepare() -> Result<(), CpuError> {
    let _guard = start(1)?;
    raise(Signal::SIGPROF).map_err(cannot)
}

fn start(frequency_hz: i32) -> Result<ProfilerGuard<'static>, CpuError> {
    ProfilerGuardBuilder::default().frequency(frequency_hz).build().map_err(cannot)
}

fn cannot(error: impl std::error::Error + Send + Sync + 'static) -> CpuError {
    CpuError::Sample(Box::new(error))
}
