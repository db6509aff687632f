//! Attacks and restarts under load.
//!
//! What a service withstands is seen from outside: the real program with stated settings, good calls at
//! a fixed rate, and beside them peers that misbehave.
//!
//! ```no_run
//! use std::path::Path;
//! use std::time::Duration;
//! use seawall_attack::{Attack, Plan, attack};
//!
//! # async fn example() -> anyhow::Result<()> {
//! let plan = Plan { rate: 100, window: Duration::from_secs(2), rounds: 7 };
//! attack(Path::new("target/debug/user"), &[Attack::Ping], plan, |report| println!("{report:?}")).await
//! # }
//! ```
//!
//! # Structure
//! `attacks.rs` has the attacks, which `frames.rs` and `peer.rs` send; `measure.rs` measures what they
//! do. `drill.rs` restarts services. `service.rs` runs a service, `load.rs` makes calls at a rate and `shop.rs` says which calls.
//! `main.rs` is the program that `cargo seawall attack` and `cargo seawall restart-drill` run.

mod attacks;
mod drill;
mod frames;
mod load;
mod measure;
mod peer;
mod service;
mod shop;

pub use attacks::Attack;
pub use drill::{Restarts, run as drill};
pub use measure::{Plan, Report, run as attack};
