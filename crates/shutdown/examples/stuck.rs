//! A process that never ends by itself, to see that the shutdown ends it all the same.
//!
//! `cargo run -p seawall-shutdown --example stuck`, then Ctrl-C: it is gone after 1.2 seconds, or at
//! once after a second Ctrl-C.

use std::time::Duration;

use seawall_shutdown::Shutdown;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let shutdown = Shutdown::on_signals(Duration::from_millis(200))?;
    println!("ready");
    shutdown.begun().await;
    println!("draining");
    std::future::pending::<()>().await;
    Ok(())
}
