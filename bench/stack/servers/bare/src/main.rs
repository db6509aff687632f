//! Stock tonic as its README has it: `bare multi` on the runtime of `#[tokio::main]`, `bare current` on
//! one that is a thread.

use stock::Users;
use stock::contract::user_service_server::UserServiceServer;
use tonic::transport::Server;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let flavour = std::env::args().nth(1).ok_or("usage: bare multi|current")?;
    stock::runtime(&flavour)?.block_on(async {
        let incoming = stock::listen().await?;
        Server::builder().add_service(UserServiceServer::new(Users)).serve_with_incoming(incoming).await?;
        Ok(())
    })
}
