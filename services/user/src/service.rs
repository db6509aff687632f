//! The contract, method by method: each is one line to the module that does it.

use seawall_proto::seawall::user::v1::user_service_server::UserService;
use seawall_proto::seawall::user::v1::{
    BatchGetUsersRequest, BatchGetUsersResponse, CreateUserRequest, CreateUserResponse, DeleteUserRequest,
    DeleteUserResponse, GetUserRequest, GetUserResponse, ImportUsersRequest, ImportUsersResponse, ListUsersRequest,
    ListUsersResponse, UpdateUserRequest, UpdateUserResponse,
};
use tonic::{Request, Response, Status, Streaming};

use crate::Users;
use crate::batch::batch_get;
use crate::create::create;
use crate::delete::delete;
use crate::get::get;
use crate::import::import;
use crate::list::list;
use crate::update::update;

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl UserService for Users {
    async fn create_user(&self, request: Request<CreateUserRequest>) -> Answer<CreateUserResponse> {
        Ok(Response::new(create(&self.sql, request.into_inner()).await?))
    }

    async fn get_user(&self, request: Request<GetUserRequest>) -> Answer<GetUserResponse> {
        Ok(Response::new(get(&self.sql, request.into_inner()).await?))
    }

    async fn batch_get_users(&self, request: Request<BatchGetUsersRequest>) -> Answer<BatchGetUsersResponse> {
        Ok(Response::new(batch_get(&self.sql, request.into_inner()).await?))
    }

    async fn list_users(&self, request: Request<ListUsersRequest>) -> Answer<ListUsersResponse> {
        Ok(Response::new(list(&self.sql, request.into_inner()).await?))
    }

    async fn update_user(&self, request: Request<UpdateUserRequest>) -> Answer<UpdateUserResponse> {
        Ok(Response::new(update(&self.sql, request.into_inner()).await?))
    }

    async fn delete_user(&self, request: Request<DeleteUserRequest>) -> Answer<DeleteUserResponse> {
        Ok(Response::new(delete(&self.sql, request.into_inner()).await?))
    }

    async fn import_users(&self, request: Request<Streaming<ImportUsersRequest>>) -> Answer<ImportUsersResponse> {
        Ok(Response::new(import(&self.sql, request.into_inner()).await?))
    }
}
