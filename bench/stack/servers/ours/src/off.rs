//! The service without Seawall's layers, on the same serve loop and with the same settings.

use std::net::{Ipv4Addr, SocketAddr};

use seawall_config::Reader;
use seawall_server::{Config, Server};
use seawall_shutdown::Shutdown;
use tokio::net::TcpListener;

use crate::users::contract::user_service_server::UserServiceServer;
use crate::users::{DESCRIPTORS, Users};

pub(crate) fn run() -> anyhow::Result<()> {
    // As `seawall_server::launch` makes it.
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve())
}

async fn serve() -> anyhow::Result<()> {
    let mut reader = Reader::from_environment(None);
    let config = Config::read(&mut reader.section("server"), 0, 0);
    reader.finish()?;
    let shutdown = Shutdown::on_signals(config.drain_timeout)?;
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    println!("listening {}", listener.local_addr()?);
    let server = Server::try_new(config, DESCRIPTORS)?.add_service(UserServiceServer::new(Users));
    Ok(server.serve_without_layers(listener, shutdown).await?)
}
