//! The OTLP receiver that runs inside `up` and keeps the traces of all services.

use anyhow::{Context, Result};
use seawall_collector::{Bounds, Receiver, Store};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::addresses::Addresses;
use crate::layout::Layout;
use crate::terminal;

/// How often another port is tried when somebody takes the one that was free.
const BIND_ATTEMPTS_MAX: u32 = 10;

/// A running receiver.
#[derive(Debug)]
pub(super) struct Traces {
    /// Dropped to end it.
    shutdown: oneshot::Sender<()>,
    receiver: JoinHandle<()>,
}

impl Traces {
    /// Receives at the address for traces, keeps what comes, and sends it on to `forward`, if that is
    /// given. An address that somebody has taken in the meantime is replaced.
    pub(super) async fn start(layout: &Layout, addresses: &mut Addresses, forward: Option<&str>) -> Result<Self> {
        let store = Store::open(layout.traces(), Bounds::default()).context("traces cannot be kept")?;
        let mut receiver = Receiver::new(store);
        if let Some(endpoint) = forward {
            receiver = receiver.forward_to(endpoint).context("traces cannot be forwarded")?;
        }
        let mut attempt = 1;
        let bound = loop {
            match receiver.clone().bind(addresses.otlp).await {
                Err(error) if error.is_address_in_use() && attempt < BIND_ATTEMPTS_MAX => {
                    attempt += 1;
                    addresses.otlp = addresses.pick("traces", addresses.otlp.port())?;
                }
                bound => break bound.context("traces cannot be received")?,
            }
        };
        let (shutdown, begun) = oneshot::channel::<()>();
        let receiver = tokio::spawn(async move {
            let begun = async {
                let _ = begun.await;
            };
            if let Err(error) = bound.run(begun).await {
                terminal::warning("Traces", format!("are no longer received: {error}"));
            }
        });
        Ok(Self { shutdown, receiver })
    }

    /// Ends when what was received is on disk, at the latest after two seconds.
    pub(super) async fn stop(self) {
        drop(self.shutdown);
        // A receiver that panicked has said so.
        let _ = self.receiver.await;
    }
}
