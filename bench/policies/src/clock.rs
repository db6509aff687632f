//! One clock for everybody: what reads the system's clock reads tokio's paused one.
//!
//! Seawall's layers and tower-resilience's rate limiter read tokio's clock, which a program can pause
//! and lead. The other policies of the peers read the system's. So that all of them live through the
//! same simulated minutes, the C library's `clock_gettime` is replaced in this program: within
//! [`simulate`] it tells tokio's time, and everywhere else it asks the C library. Linux only.

use std::cell::Cell;
use std::future::Future;
use std::sync::OnceLock;

use libc::{CLOCK_MONOTONIC, c_int, clockid_t, timespec};
use tokio::time::Instant;

/// The start of a simulation, by tokio's clock and in nanoseconds of the system's.
type Origin = (Instant, i64);

thread_local! {
    static SIMULATED: Cell<Option<Origin>> = const { Cell::new(None) };
}

type ClockGettime = unsafe extern "C" fn(clockid_t, *mut timespec) -> c_int;

static SYSTEM: OnceLock<ClockGettime> = OnceLock::new();

fn system() -> ClockGettime {
    *SYSTEM.get_or_init(|| {
        // SAFETY: the name is a C string; the next definition after this program's is the C library's,
        // which has that signature.
        unsafe {
            let found = libc::dlsym(libc::RTLD_NEXT, c"clock_gettime".as_ptr());
            assert!(!found.is_null(), "a C library with clock_gettime");
            std::mem::transmute::<*mut libc::c_void, ClockGettime>(found)
        }
    })
}

/// Takes the place of the C library's function.
///
/// # Safety
/// As there: `to` can be written to.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: clockid_t, to: *mut timespec) -> c_int {
    // Taken for as long as tokio is asked, which would ask here in turn if it were not paused.
    if clock == CLOCK_MONOTONIC
        && let Some((start, start_ns)) = SIMULATED.take()
    {
        let elapsed = i64::try_from(start.elapsed().as_nanos()).expect("less than centuries");
        SIMULATED.set(Some((start, start_ns)));
        let now = start_ns + elapsed;
        // SAFETY: the caller's promise.
        unsafe { *to = timespec { tv_sec: now / 1_000_000_000, tv_nsec: now % 1_000_000_000 } };
        return 0;
    }
    // SAFETY: the caller's promise is the same.
    unsafe { system()(clock, to) }
}

/// Reads the system's clock as if it were not replaced.
pub(crate) fn read_system() {
    let mut now = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` can be written to.
    unsafe { system()(CLOCK_MONOTONIC, &raw mut now) };
    std::hint::black_box(now);
}

/// Runs it on one thread, in simulated time: a sleep takes none of the real one.
pub(crate) fn simulate<F: Future>(run: F) -> F::Output {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let mut now = timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `now` can be written to.
        unsafe { clock_gettime(CLOCK_MONOTONIC, &raw mut now) };
        SIMULATED.set(Some((Instant::now(), now.tv_sec * 1_000_000_000 + now.tv_nsec)));
        let output = run.await;
        SIMULATED.set(None);
        output
    })
}

/// Fails unless the system's clock goes with tokio's.
pub(crate) fn check() {
    simulate(async {
        let (system, tokio) = (std::time::Instant::now(), Instant::now());
        tokio::time::sleep(std::time::Duration::from_secs(3_600)).await;
        assert_eq!(system.elapsed(), tokio.elapsed(), "the system's clock is simulated");
    });
}
