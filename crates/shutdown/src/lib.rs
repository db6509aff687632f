//! Signals, and a drain that always ends.
//!
//! A [`Shutdown`] is a switch that is thrown once. Everything long-lived holds a clone, waits for
//! [`begun`](Shutdown::begun) and then has [`drain_timeout`](Shutdown::drain_timeout) to finish what
//! it has accepted. [`Shutdown::on_signals`] throws it at SIGTERM and SIGINT; a second signal ends
//! the process at once. Whatever then hangs (a peer, a handler that blocks its thread, the runtime
//! itself), a thread of its own ends the process one second after the drain should have ended.
//!
//! ```
//! use std::time::Duration;
//! use seawall_shutdown::Shutdown;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let shutdown = Shutdown::new(Duration::from_secs(10));
//! let worker = tokio::spawn({
//!     let shutdown = shutdown.clone();
//!     async move { shutdown.begun().await }
//! });
//! shutdown.begin();
//! worker.await.unwrap();
//! # }
//! ```

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What is left for telemetry and destructors after the drain, before the process is ended by force.
const GRACE: Duration = Duration::from_secs(1);

/// The exit code of a process that had to be ended by force.
const EXIT_FORCED: i32 = 70;

/// The switch. Clones are the same switch.
#[derive(Debug, Clone)]
pub struct Shutdown {
    token: CancellationToken,
    drain_timeout: Duration,
}

impl Shutdown {
    /// A switch that only [`begin`](Self::begin) throws.
    pub fn new(drain_timeout: Duration) -> Self {
        Self { token: CancellationToken::new(), drain_timeout }
    }

    /// A switch that SIGTERM or SIGINT throws. From then on the process lives at most
    /// `drain_timeout` plus one second; a second signal ends it at once.
    ///
    /// # Errors
    /// If the signal handlers cannot be installed.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn on_signals(drain_timeout: Duration) -> std::io::Result<Self> {
        let shutdown = Self::new(drain_timeout);
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let switch = shutdown.clone();
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            tracing::info!(signal = name, drain_timeout = ?drain_timeout, "shutting down");
            end_after(drain_timeout + GRACE);
            switch.begin();
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::warn!("second signal: ending at once");
            end_after(Duration::ZERO);
        });
        Ok(shutdown)
    }

    /// Throws the switch. Throwing it again does nothing.
    pub fn begin(&self) {
        self.token.cancel();
    }

    /// Whether the switch has been thrown.
    pub fn has_begun(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Returns when the switch has been thrown. Cancel-safe.
    pub async fn begun(&self) {
        self.token.cancelled().await;
    }

    /// How long calls in flight may take to end.
    pub fn drain_timeout(&self) -> Duration {
        self.drain_timeout
    }
}

/// Ends the process from a thread that shares nothing with the runtime, which may be stuck.
#[expect(clippy::exit, clippy::disallowed_methods, reason = "this thread exists to wait and to end the process")]
fn end_after(wait: Duration) {
    let ended_by_force = move || {
        std::thread::sleep(wait);
        if !wait.is_zero() {
            eprintln!("the drain did not end within {wait:?}: ending by force");
        }
        std::process::exit(EXIT_FORCED)
    };
    if std::thread::Builder::new().name("shutdown".into()).spawn(ended_by_force).is_err() {
        std::process::exit(EXIT_FORCED);
    }
}
