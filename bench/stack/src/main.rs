//! `just bench stack`: Seawall's server beside tonic, and beside tonic with the usual crates.

use clap::Parser;

/// Compares Seawall's server with stock tonic and with the usual crates: processor time a call, the slowest calls,
/// memory, writes and, by valgrind, instructions and allocations. Takes a quarter of an hour, and wants the machine for
/// itself.
#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    args: stack::time::Args,
}

fn main() -> anyhow::Result<()> {
    stack::time::run(&Cli::parse().args)
}
