//! The real services over a simulated network: seeds, faults, invariants.
//!
//! A run has one seed. From it a plan is drawn of what goes wrong (crashes, drains, lines that hold
//! or cut what is on them, slow and failing hosts, slow disks) while four shoppers place orders and
//! read them. The services are the real ones with their real stacks; only the network, the clock and
//! what a host is are simulated. The same seed gives the same run, line by line.
//!
//! What must be true of each run:
//!
//! - an order that was acknowledged is there afterwards, as it was, whatever crashed;
//! - the same key gets the same answer, and no key has two orders;
//! - no call outlives its deadline;
//! - a call fails only as the trouble explains;
//! - some time after the last fault, no call fails;
//! - the user service is not called more often than calls explain;
//! - nothing panics, and what is told to drain ends in time.
//!
//! `cargo seawall sim` runs many seeds. This program runs one, because what makes it replay is set
//! once for a process.
//!
//! # Structure
//! `plan.rs` draws what goes wrong; `run.rs` does it and judges; `shop.rs` are the hosts and
//! `shopper.rs` the callers; `network.rs`, `disk.rs` and `faulty.rs` stand between them; `journal.rs`
//! keeps what happened; `replay.rs` says what makes a run a function of its seed.

mod disk;
mod faulty;
mod journal;
mod network;
mod plan;
mod replay;
mod run;
mod shop;
mod shopper;

pub use run::{Report, run};
