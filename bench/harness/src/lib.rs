//! What comparisons need: programs built, pinned and watched, interleaved rounds, spreads, figures, plots.
//!
//! A comparison starts each of its subjects as a [`Program`] of its own, pinned to a processor, puts the same load
//! on it and asks what the process has used. Times on a machine that others use are noise, so they are compared
//! only within a round and told with their spread; instructions, allocations and writes are counted, and are the
//! same everywhere.
//!
//! ```no_run
//! use harness::{Profile, Program, Build, callgrind, wire};
//!
//! # fn example() -> anyhow::Result<()> {
//! let server = Program::new(Build::new("bare", Profile::Release).executable()?).args(["multi"]).core(0);
//! let call = wire::Call::new("/seawall.bench.v1.UserService/GetUser", &[0, 0, 0, 0, 0]);
//! let shape = wire::Shape { connections: 10, streams: 10 };
//! let counts = callgrind::per_call(&server, &call, shape, callgrind::CALLS)?;
//! println!("{} instructions a call", counts.instructions);
//! # Ok(())
//! # }
//! ```
//!
//! # Structure
//! `build.rs` has cargo build a package, `program.rs` runs it, `tools.rs` finds or installs what else is run.
//! `wire.rs` is a client of HTTP/2 that costs next to nothing and does the same in each run; `callgrind.rs` counts
//! what a server does for its calls, and `writes.rs` how often it writes.
//! `machine.rs` looks whether times can be trusted, `h2load.rs` is a load and `latency.rs` another one, `rounds.rs` measures subjects in turn,
//! `statistics.rs` has medians with their spread; `figure.rs` sets them beside their goals, `table.rs` prints
//! many and `plot.rs` draws them.

mod build;
pub mod callgrind;
mod figure;
mod h2load;
pub mod latency;
mod machine;
pub mod plot;
mod program;
mod rounds;
pub mod statistics;
mod table;
mod tools;
pub mod wire;
pub mod writes;

pub use build::{Build, Profile, bench_folder};
pub use figure::{Figure, Goal, Verdict};
pub use h2load::H2load;
pub use machine::Machine;
pub use program::{Process, Program, cpu_time, pause, pinned};
pub use rounds::Rounds;
pub use statistics::Spread;
pub use table::table;
pub use tools::tool;
