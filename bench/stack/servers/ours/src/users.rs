//! The contract and its handlers.

use tonic::{Request, Response, Status};

use contract::user_service_server::UserService;
use contract::{GetUserRequest, GetUserResponse, HoldUserRequest, HoldUserResponse, User};

/// What is generated.
#[allow(clippy::all, clippy::allow_attributes_without_reason, reason = "generated")]
pub(crate) mod contract {
    tonic::include_proto!("seawall.bench.v1");
}

/// The contract, as an encoded `google.protobuf.FileDescriptorSet`.
pub(crate) const DESCRIPTORS: &[u8] = tonic::include_file_descriptor_set!("descriptors");

#[derive(Debug, Clone, Copy)]
pub(crate) struct Users;

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
