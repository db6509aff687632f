//! Attacks services. `cargo seawall attack` runs it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, ValueEnum as _};
use seawall_attack::{Attack, Plan, Report};

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
        /// Windows before an attack
        #[arg(long)]
        quiet: usize,
        /// Windows during an attack
        #[arg(long)]
        attacked: usize,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    match Command::parse() {
        Command::Attack { user, only, rate, window_ms, quiet, attacked } => {
            let attacks = if only.is_empty() { Attack::value_variants() } else { &only };
            let plan = Plan { rate, window: Duration::from_millis(window_ms), quiet, attacked };
            seawall_attack::attack(&user, attacks, plan, print).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Whoever reads the lines may have gone; then there is nobody to tell.
fn print(report: &Report) {
    if let Ok(line) = serde_json::to_string(report) {
        println!("{line}");
    }
}
