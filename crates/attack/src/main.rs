//! Attacks services and restarts them. `cargo seawall attack` and `cargo seawall restart-drill` run it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, ValueEnum as _};
use seawall_attack::{Attack, Plan};

/// Attacks services, and prints what came of it as a line of JSON each.
#[derive(Debug, Parser)]
enum Command {
    /// Attacks the user service
    Attack {
        /// The program of the user service
        #[arg(long)]
        user: PathBuf,
        /// These attacks alone
        #[arg(long, value_enum)]
        only: Vec<Attack>,
        /// Good calls a second
        #[arg(long)]
        rate: u32,
        /// The length of a window, in milliseconds
        #[arg(long)]
        window_ms: u64,
        /// How often a quiet window is followed by one with the attack
        #[arg(long)]
        rounds: u32,
    },
    /// Restarts the user and the order service
    RestartDrill {
        /// The program of the user service
        #[arg(long)]
        user: PathBuf,
        /// The program of the order service
        #[arg(long)]
        order: PathBuf,
        /// How often
        #[arg(long)]
        restarts: u32,
        /// Calls a second
        #[arg(long)]
        rate: u32,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    match Command::parse() {
        Command::Attack { user, only, rate, window_ms, rounds } => {
            let attacks = if only.is_empty() { Attack::value_variants() } else { &only };
            let plan = Plan { rate, window: Duration::from_millis(window_ms), rounds };
            seawall_attack::attack(&user, attacks, plan, |report| print(&report)).await?;
        }
        Command::RestartDrill { user, order, restarts, rate } => {
            seawall_attack::drill(&user, &order, restarts, rate, progress).await?.iter().for_each(print);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How often progress is told, in restarts.
const PROGRESS_EVERY: u32 = 20;

fn progress(restarts: u32) {
    if restarts.is_multiple_of(PROGRESS_EVERY) {
        eprintln!("{restarts} restarts");
    }
}

/// Whoever reads the lines may have gone; then there is nobody to tell.
fn print(report: &impl serde::Serialize) {
    if let Ok(line) = serde_json::to_string(report) {
        println!("{line}");
    }
}
