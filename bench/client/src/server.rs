//! The server that all clients call: stock tonic, with nothing around it.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use seawall_proto::seawall::user::v1::{GetUserRequest, GetUserResponse, User};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic_prost::ProstCodec;
use tower::Service;

/// Listens, says where on standard output, and serves until the process is ended.
pub(crate) async fn run() {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.expect("a free port");
    println!("{}", listener.local_addr().expect("an address"));
    let incoming = TcpListenerStream::new(listener);
    let served = tonic::transport::Server::builder().tcp_nodelay(true).add_service(Users);
    served.serve_with_incoming(incoming).await.expect("it serves until it is ended");
}

type Served<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a generated server does for a method, without the methods that are not called.
#[derive(Debug, Clone)]
struct Users;

impl NamedService for Users {
    const NAME: &'static str = "seawall.user.v1.UserService";
}

impl Service<Request<Body>> for Users {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Served<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        assert_eq!(request.uri().path(), "/seawall.user.v1.UserService/GetUser");
        Box::pin(async move { Ok(Grpc::new(ProstCodec::default()).unary(GetUser, request).await) })
    }
}

struct GetUser;

impl UnaryService<GetUserRequest> for GetUser {
    type Response = GetUserResponse;
    type Future = Served<Result<tonic::Response<GetUserResponse>, tonic::Status>>;

    fn call(&mut self, request: tonic::Request<GetUserRequest>) -> Self::Future {
        let user = User {
            user_id: request.into_inner().user_id,
            email: "ada@example.com".to_owned(),
            display_name: "Ada Lovelace".to_owned(),
            ..User::default()
        };
        Box::pin(async move { Ok(tonic::Response::new(GetUserResponse { user: Some(user) })) })
    }
}
