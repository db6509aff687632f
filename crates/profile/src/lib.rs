//! Where a running process spends its processor time, in the format of pprof.
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
//! Nothing of it costs anything before it is asked for. What then remains in memory is the unwind tables of
//! the program, with which later profiles begin at once.
//!
//! # Structure
//! `cpu.rs` takes samples; `encode.rs` makes them a profile, whose messages are in `messages.rs`.

mod cpu;
mod encode;
pub mod messages;

pub use cpu::{CpuError, cpu};
