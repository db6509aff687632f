//! The cargo that runs us (`cargo seawall` is `cargo run`), and what it tells us of itself.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::bound::own_executable;

/// What cargo tells the programs that it runs of their package, by how its names begin.
const OF_A_PACKAGE: [&str; 3] = ["CARGO_PKG_", "CARGO_MANIFEST_", "OUT_DIR"];

/// Starts this program again, as the same process, without what cargo said of its package. Build scripts look
/// at it (that of ring does): each cargo that we run would build anew what a cargo from a shell has built, and
/// the other way round.
pub(crate) fn forget() -> Result<()> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let told: Vec<String> = names.filter(|name| is_of_a_package(name)).collect();
    if told.is_empty() {
        return Ok(());
    }
    let mut arguments = std::env::args_os();
    let mut again = Command::new(own_executable()?);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    for name in &told {
        again.env_remove(name);
    }
    Err(again.args(arguments).exec()).context("this program cannot be started again")
}

fn is_of_a_package(name: &str) -> bool {
    OF_A_PACKAGE.iter().any(|prefix| name.starts_with(prefix))
}
