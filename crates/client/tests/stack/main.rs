//! The composed stacks over real sockets: a channel with all its policies, and servers with all
//! theirs, whose answers a test decides.
//!
//! Every call has a deadline of a minute, so that no test depends on how fast it runs; what is to
//! happen is waited for. Where a policy counts in seconds, `clock.rs` has the time leap.

mod answers;
mod breakers;
mod chain;
mod clock;
mod criticality;
mod drain;
mod ejection;
mod endpoints;
mod gate;
mod hedges;
mod leaving;
mod lines;
mod page;
mod probes;
mod rates;
mod raw;
mod reload;
mod resolving;
mod retries;
mod settings;
mod shop;
mod streams;
mod unprocessed;
mod waits;
