//! A new process takes over the sockets of the one that serves, so that no connection is refused in
//! between.
//!
//! At `SIGUSR2` the process starts its program again, as it stands on disk now and with the same
//! arguments, and gives it its listening sockets as systemd does (`LISTEN_FDS`; the first is for gRPC,
//! the second for metrics). Both accept until the new one serves, which then tells the old one to drain.
//! A new one that ends before it serves has changed nothing. systemd's own socket activation works as
//! well.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context as _;
use command_fds::CommandFdExt as _;
use command_fds::FdMapping;
use listenfd::ListenFd;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getppid};
use seawall_health::Health;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

/// Who is told to drain once this process serves.
const PREDECESSOR: &str = "LISTEN_PREDECESSOR";
/// The first file descriptor of systemd's protocol.
const FIRST_FD: i32 = 3;
/// How often readiness is looked at while a successor starts.
const READINESS_INTERVAL: Duration = Duration::from_millis(20);

/// The sockets that this process was given.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    pub(crate) grpc: Option<TcpListener>,
    pub(crate) metrics: Option<TcpListener>,
}

impl Inherited {
    /// Those of the environment, which has none as a rule.
    pub(crate) fn take() -> io::Result<Self> {
        let mut fds = ListenFd::from_env();
        let mut at = |index| if index < fds.len() { fds.take_tcp_listener(index) } else { Ok(None) };
        let (grpc, metrics) = (at(0)?, at(1)?);
        for listener in [&grpc, &metrics].into_iter().flatten() {
            listener.set_nonblocking(true)?;
        }
        Ok(Self { grpc, metrics })
    }
}

/// The sockets of this process, for one that comes after it.
#[derive(Debug)]
pub(crate) struct Sockets(Vec<OwnedFd>);

impl Sockets {
    pub(crate) fn of(grpc: &tokio::net::TcpListener, metrics: &tokio::net::TcpListener) -> io::Result<Self> {
        let sockets = [grpc.as_fd().try_clone_to_owned()?, metrics.as_fd().try_clone_to_owned()?];
        Ok(Self(sockets.into()))
    }

    /// Starts a successor at each `SIGUSR2`, one at a time. Never returns.
    pub(crate) async fn hand_over(self) -> io::Result<()> {
        let mut wanted = signal(SignalKind::user_defined2())?;
        loop {
            if wanted.recv().await.is_none() {
                return std::future::pending().await;
            }
            match self.successor().await {
                Ok(status) => tracing::error!(%status, "the successor has ended before it served: going on"),
                Err(error) => tracing::error!(cause = format!("{error:#}"), "cannot start a successor: going on"),
            }
        }
    }

    /// Runs one. If all goes well this process is told to drain before the other ends.
    async fn successor(&self) -> anyhow::Result<ExitStatus> {
        let mut args = std::env::args_os();
        // Not what is running, which may have been replaced on disk since.
        let program = args.next().context("the program was started without its name")?;
        let mut command = Command::new(&program);
        command.args(args).env_remove("LISTEN_PID").env(PREDECESSOR, std::process::id().to_string());
        command.env("LISTEN_FDS", self.0.len().to_string());
        let mappings = self
            .0
            .iter()
            .zip(FIRST_FD..)
            .map(|(socket, child_fd)| Ok::<_, io::Error>(FdMapping { parent_fd: socket.try_clone()?, child_fd }));
        command.fd_mappings(mappings.collect::<Result<_, _>>()?)?;
        let mut child = command.spawn().with_context(|| format!("{} cannot be run", program.display()))?;
        tracing::info!(pid = child.id(), "starting a successor");
        Ok(child.wait().await?)
    }
}

/// Tells the process whose sockets these are to drain, as soon as this one serves.
pub(crate) async fn succeed(health: Health) {
    let Some(predecessor) = std::env::var(PREDECESSOR).ok().and_then(|pid| pid.parse().ok()).map(Pid::from_raw) else {
        return;
    };
    while !health.is_serving() {
        tokio::time::sleep(READINESS_INTERVAL).await;
    }
    // Somebody else may have that number by now, but not as the parent of this process.
    if predecessor == getppid() {
        tracing::info!(%predecessor, "serving instead of the predecessor");
        if let Err(error) = kill(predecessor, Signal::SIGTERM) {
            tracing::warn!(%predecessor, %error, "the predecessor cannot be told to drain");
        }
    }
}
