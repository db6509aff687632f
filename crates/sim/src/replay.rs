//! What makes a run a function of its seed.
//!
//! Everything runs on one thread, and everything random or timely that the program asks of its
//! surroundings is answered from the seed:
//!
//! | what | how |
//! |---|---|
//! | message latency, order of hosts | turmoil's generator, seeded |
//! | `fastrand` (policies, delays of the disk) | the generator of the thread, seeded |
//! | `rand`, `uuid`, orders of `HashMap`, the branches of tokio's `select!` | they draw their seeds from `getrandom`, which `mad-turmoil` replaces in this program |
//! | `Instant`, `SystemTime` | `clock_gettime`, which `mad-turmoil` replaces by the simulated clock |
//! | tokio's timers | each host's runtime is paused, and turned by turmoil |
//! | SQLite | on the calling task (`with_inline_sqlite`), with delays by the simulated clock |
//!
//! Not from the seed are addresses in memory and the bytes that SQLite draws from `/dev/urandom` (the
//! salts of its log). Nothing here depends on either; the test that runs seeds twice would tell.

use mad_turmoil::time::SimClocksGuard;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// Runs `simulate` with everything seeded, on a thread of its own: some generators are seeded when a
/// thread first uses them, and the calling thread may have used them.
///
/// # Panics
/// When called twice in a process, because what counts in statics would go on counting; and when
/// `simulate` panics.
pub(crate) fn seeded<T: Send + 'static>(seed: u64, simulate: impl FnOnce() -> T + Send + 'static) -> T {
    mad_turmoil::rand::set_rng(StdRng::seed_from_u64(seed));
    let thread = std::thread::spawn(move || {
        fastrand::seed(seed);
        let _clocks = SimClocksGuard::init();
        simulate()
    });
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
