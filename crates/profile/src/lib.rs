//! Where a running process spends its processor time and its memory, in the format of pprof.
//!
//! [`cpu`] looks on for a while and answers with what `go tool pprof`, Pyroscope and all others read that
//! read Go's profiles: protobuf, gzipped, with the names of functions in it.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), seawall_profile::CpuError> {
//! let profile = seawall_profile::cpu(std::time::Duration::from_millis(50)).await?;
//! assert_eq!(profile[..2], [0x1f, 0x8b], "it is gzipped");
//! # Ok(())
//! # }
//! ```
//!
//! [`heap`] answers with who holds memory, in programs that are built with the feature `heap` and begin with
//! this line, which is of use to others as well: [`ALLOCATOR`] is quicker than that of the C library.
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: seawall_profile::Allocator = seawall_profile::ALLOCATOR;
//! # fn main() {}
//! ```
//!
//! Nothing of it costs anything before it is asked for. What then remains in memory is the unwind tables of
//! the program, with which later profiles begin at once.
//!
//! # Features
//! `heap`: the allocator is jemalloc, and takes samples when told so. It is not there without being asked for,
//! because jemalloc takes a minute to build.
//!
//! # Structure
//! `cpu.rs` takes samples of the processors; `encode.rs` makes them a profile, whose messages are in
//! `messages.rs`; `heap.rs` is the allocator and its samples.

mod cpu;
mod encode;
mod heap;
pub mod messages;

pub use cpu::{CpuError, cpu};
pub use heap::{ALLOCATOR, Allocator, HeapError, heap, sample_heap};
