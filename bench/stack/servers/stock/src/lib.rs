//! The contract as tonic generates it, its handlers, and what the servers on tonic share.

use std::net::SocketAddr;

use tokio::runtime::{Builder, Runtime};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use contract::user_service_server::UserService;
use contract::{GetUserRequest, GetUserResponse, HoldUserRequest, HoldUserResponse, User};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is generated.
#[allow(clippy::all, clippy::allow_attributes_without_reason, reason = "generated")]
pub mod contract {
    tonic::include_proto!("seawall.bench.v1");
}

/// The handlers.
#[derive(Debug, Clone, Copy)]
pub struct Users;

#[tonic::async_trait]
impl UserService for Users {
    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<GetUserResponse>, Status> {
        let user_id = request.into_inner().user_id;
        let user = User { user_id, email: "ada@example.com".into(), display_name: "Ada Lovelace".into() };
        Ok(Response::new(GetUserResponse { user: Some(user) }))
    }

    async fn hold_user(&self, _: Request<HoldUserRequest>) -> Result<Response<HoldUserResponse>, Status> {
        std::future::pending().await
    }
}

/// The runtime by its name: `multi` is what `#[tokio::main]` makes.
pub fn runtime(flavour: &str) -> std::io::Result<Runtime> {
    match flavour {
        "multi" => Builder::new_multi_thread().enable_all().build(),
        "current" => Builder::new_current_thread().enable_all().build(),
        other => panic!("{other}: the flavour is multi or current"),
    }
}

/// A port of the system's choice, as `Server::serve` would open it, and told to whoever measures.
pub async fn listen() -> std::io::Result<TcpIncoming> {
    let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0))).map_err(std::io::Error::other)?;
    println!("listening {}", incoming.local_addr()?);
    Ok(incoming.with_nodelay(Some(true)))
}
