//! A user service that knows everybody, or nobody, or is in trouble.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use seawall_deadline::parse_timeout;
use seawall_proto::seawall::user::v1::user_service_server::UserService;
use seawall_proto::seawall::user::v1::{
    BatchGetUsersRequest, BatchGetUsersResponse, CreateUserRequest, CreateUserResponse, DeleteUserRequest,
    DeleteUserResponse, GetUserRequest, GetUserResponse, ImportUsersRequest, ImportUsersResponse, ListUsersRequest,
    ListUsersResponse, UpdateUserRequest, UpdateUserResponse, User,
};
use tokio::sync::{Barrier, Semaphore};
use tonic::{Code, Request, Response, Status, Streaming};

/// How GetUser answers.
#[derive(Debug, Clone)]
pub(crate) enum Mood {
    /// Everybody exists.
    Everybody,
    /// Everybody exists, but nobody hears of it before so many have asked.
    Together(Arc<Barrier>),
    /// It fails, with a text that is not for everyone.
    Failing(Code),
    /// It never answers; a permit says that a call has been given up.
    Silent(Arc<Semaphore>),
}

/// The fake. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Users(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    mood: Mood,
    timeouts: Vec<Option<Duration>>,
}

impl Users {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { mood: Mood::Everybody, timeouts: vec![] })))
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.0.lock().unwrap().mood = mood;
    }

    /// The `grpc-timeout` of each call so far.
    pub(crate) fn timeouts(&self) -> Vec<Option<Duration>> {
        self.0.lock().unwrap().timeouts.clone()
    }
}

/// Adds a permit when it is dropped.
struct OnDrop(Arc<Semaphore>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

#[tonic::async_trait]
impl UserService for Users {
    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<GetUserResponse>, Status> {
        let timeout = request.metadata().get("grpc-timeout").map(|value| parse_timeout(value.as_bytes()).unwrap());
        let mood = {
            let mut state = self.0.lock().unwrap();
            state.timeouts.push(timeout);
            state.mood.clone()
        };
        match mood {
            Mood::Everybody => {}
            Mood::Together(barrier) => {
                barrier.wait().await;
            }
            Mood::Failing(code) => return Err(Status::new(code, "secret of the user service")),
            Mood::Silent(given_up) => {
                let _given_up = OnDrop(given_up);
                std::future::pending::<()>().await;
            }
        }
        let user = User { user_id: request.into_inner().user_id, ..Default::default() };
        Ok(Response::new(GetUserResponse { user: Some(user) }))
    }

    async fn create_user(&self, _: Request<CreateUserRequest>) -> Result<Response<CreateUserResponse>, Status> {
        Err(Status::unimplemented("not for orders"))
    }

    async fn batch_get_users(
        &self,
        _: Request<BatchGetUsersRequest>,
    ) -> Result<Response<BatchGetUsersResponse>, Status> {
        Err(Status::unimplemented("not for orders"))
    }

    async fn list_users(&self, _: Request<ListUsersRequest>) -> Result<Response<ListUsersResponse>, Status> {
        Err(Status::unimplemented("not for orders"))
    }

    async fn update_user(&self, _: Request<UpdateUserRequest>) -> Result<Response<UpdateUserResponse>, Status> {
        Err(Status::unimplemented("not for orders"))
    }

    async fn delete_user(&self, _: Request<DeleteUserRequest>) -> Result<Response<DeleteUserResponse>, Status> {
        Err(Status::unimplemented("not for orders"))
    }

    async fn import_users(
        &self,
        _: Request<Streaming<ImportUsersRequest>>,
    ) -> Result<Response<ImportUsersResponse>, Status> {
        Err(Status::unimplemented("not for orders"))
    }
}
