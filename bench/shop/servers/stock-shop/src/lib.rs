//! The contracts of the shop as tonic generates them, its channel, and what the services on tonic share.
//!
//! `bare-user` and `bare-order` compile the files of `services/user` and `services/order` against this crate, which
//! stands there for `seawall-proto` and `seawall-client`: the same handlers and the same SQL on stock tonic.

use std::env;
use std::net::SocketAddr;

use anyhow::Context as _;
use tonic::transport::server::TcpIncoming;

pub use tonic::transport::Channel;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is generated.
#[allow(clippy::all, clippy::allow_attributes_without_reason, reason = "generated")]
mod contracts {
    tonic::include_proto!("contracts");
}
pub use contracts::seawall;

/// Runs `service` on the runtime of `#[tokio::main]`, which is that of Seawall's services as well.
///
/// # Errors
/// Those of the service.
pub fn run(service: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(service)
}

/// The database, by the variable that Seawall's services have for it, and otherwise by their defaults.
///
/// # Errors
/// If it is not said.
pub fn sql() -> anyhow::Result<seawall_pool::Config> {
    Ok(seawall_pool::Config::new(setting("SEAWALL_SQL_URL")?))
}

/// A variable of the environment.
///
/// # Errors
/// If it is not there.
pub fn setting(name: &str) -> anyhow::Result<String> {
    env::var(name).with_context(|| format!("{name} is not set"))
}

/// A port of the system's choice, as `Server::serve` would open it, and told to whoever measures.
///
/// # Errors
/// If there is none.
pub fn listen() -> anyhow::Result<TcpIncoming> {
    let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0))).map_err(std::io::Error::other)?;
    println!("listening {}", incoming.local_addr()?);
    Ok(incoming.with_nodelay(Some(true)))
}
