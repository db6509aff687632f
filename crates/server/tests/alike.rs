//! Whatever is sent, a generated server of ours and one of tonic's, in the same stack, answer it alike.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proptest::prelude::*;
use seawall_config::Reader;
use seawall_proto::seawall::user::v1::user_service_server::{SERVICE_NAME, UserService, UserServiceServer};
use seawall_proto::seawall::user::v1::{
    BatchGetUsersRequest, BatchGetUsersResponse, CreateUserRequest, CreateUserResponse, DeleteUserRequest,
    DeleteUserResponse, GetUserRequest, GetUserResponse, ImportUsersRequest, ImportUsersResponse, ListUsersRequest,
    ListUsersResponse, UpdateUserRequest, UpdateUserResponse, User,
};
use seawall_server::{Config, Server};
use seawall_shutdown::Shutdown;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::Service;

const GET: &str = "/seawall.user.v1.UserService/GetUser";
/// Has the handler wait for longer than the deadline of the call.
const WAIT: &str = "x-wait";

#[derive(Debug)]
struct Users;

#[tonic::async_trait]
impl UserService for Users {
    /// Answers with what it has seen, fails, or panics, as the id says.
    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<GetUserResponse>, Status> {
        if request.metadata().contains_key(WAIT) {
            std::future::pending::<()>().await;
        }
        let mut seen: Vec<_> = request.metadata().as_ref().iter().map(|header| format!("{header:?}")).collect();
        seen.sort();
        let has_peer = seawall_propagation::peer().is_some();
        let id = request.into_inner().user_id;
        let metadata = HeaderMap::from_iter([
            (HeaderName::from_static("x-seen"), HeaderValue::from_static("1")),
            (HeaderName::from_static("grpc-status"), HeaderValue::from_static("7")),
        ]);
        let metadata = MetadataMap::from_headers(metadata);
        assert!(!id.starts_with('p'), "the handler is wrong");
        if let Some(message) = id.strip_prefix('e') {
            return Err(Status::with_details_and_metadata(Code::Aborted, message, Bytes::from_static(&[1]), metadata));
        }
        let user = User { user_id: id, email: format!("{has_peer}"), display_name: seen.concat(), ..User::default() };
        Ok(Response::from_parts(metadata, GetUserResponse { user: Some(user) }, http::Extensions::new()))
    }

    async fn create_user(&self, _: Request<CreateUserRequest>) -> Result<Response<CreateUserResponse>, Status> {
        Err(Status::unimplemented("create"))
    }

    async fn batch_get_users(
        &self,
        _: Request<BatchGetUsersRequest>,
    ) -> Result<Response<BatchGetUsersResponse>, Status> {
        Err(Status::unimplemented("batch"))
    }

    async fn list_users(&self, _: Request<ListUsersRequest>) -> Result<Response<ListUsersResponse>, Status> {
        Err(Status::unimplemented("list"))
    }

    async fn update_user(&self, _: Request<UpdateUserRequest>) -> Result<Response<UpdateUserResponse>, Status> {
        Err(Status::unimplemented("update"))
    }

    async fn delete_user(&self, _: Request<DeleteUserRequest>) -> Result<Response<DeleteUserResponse>, Status> {
        Err(Status::unimplemented("delete"))
    }

    async fn import_users(
        &self,
        _: Request<Streaming<ImportUsersRequest>>,
    ) -> Result<Response<ImportUsersResponse>, Status> {
        Err(Status::unimplemented("import"))
    }
}

/// What tonic generates for the method.
#[derive(Debug, Clone)]
struct Stock(Arc<Users>);

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl NamedService for Stock {
    const NAME: &'static str = SERVICE_NAME;
}

impl UnaryService<GetUserRequest> for Stock {
    type Response = GetUserResponse;
    type Future = Boxed<Result<Response<GetUserResponse>, Status>>;

    fn call(&mut self, request: Request<GetUserRequest>) -> Self::Future {
        let users = Arc::clone(&self.0);
        Box::pin(async move { users.get_user(request).await })
    }
}

impl Service<http::Request<Body>> for Stock {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Boxed<Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        assert_eq!(request.uri().path(), GET);
        let service = self.clone();
        Box::pin(async move { Ok(Grpc::new(ProstCodec::default()).unary(service, request).await) })
    }
}

/// A server of each kind, with a connection to it.
struct Pair {
    runtime: Runtime,
    ours: SendRequest<Bytes>,
    theirs: SendRequest<Bytes>,
}

static PAIR: LazyLock<Pair> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ours = runtime.block_on(connect(UserServiceServer::new(Users)));
    let theirs = runtime.block_on(connect(Stock(Arc::new(Users))));
    Pair { runtime, ours, theirs }
});

async fn connect<S>(service: S) -> SendRequest<Bytes>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible> + NamedService,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let variables = [
        ("SEAWALL_SERVER_LISTEN", "127.0.0.1:0"),
        ("SEAWALL_SERVER_METRICS_LISTEN", "127.0.0.1:0"),
        ("SEAWALL_SERVER_MESSAGE_BYTES_MAX", "200"),
    ];
    let config = Config::read(&mut Reader::new("", "", variables).section("server"), 0, 0);
    let server = Server::try_new(config, seawall_proto::FILE_DESCRIPTOR_SET).unwrap();
    let bound = server.add_service(service).bind().await.unwrap();
    let stream = TcpStream::connect(bound.address().unwrap()).await.unwrap();
    tokio::spawn(bound.run(Shutdown::new(Duration::from_secs(5))));
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// What is sent.
#[derive(Debug, Clone)]
struct Sent {
    headers: Vec<(&'static str, &'static str)>,
    data: Vec<Vec<u8>>,
    end: End,
}

#[derive(Debug, Clone, Copy)]
enum End {
    WithTheLast,
    Empty,
    Trailers,
}

/// What comes back.
#[derive(Debug, PartialEq)]
struct Seen {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    data: Vec<u8>,
    trailers: Option<Vec<(HeaderName, HeaderValue)>>,
}

fn list(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let but_date = headers.iter().filter(|(name, _)| *name != "date");
    but_date.map(|(name, value)| (name.clone(), value.clone())).collect()
}

async fn send(sender: &SendRequest<Bytes>, sent: &Sent) -> Seen {
    // The same trace for both, because errors name it.
    let traced = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let builder = http::Request::post(format!("http://test{GET}")).header(traced.0, traced.1);
    let request = sent.headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
    let mut sender = sender.clone().ready().await.unwrap();
    let (answer, mut body) = sender.send_request(request.body(()).unwrap(), false).unwrap();
    // The server may have answered and reset the stream already.
    for (index, data) in sent.data.iter().enumerate() {
        let is_last = index + 1 == sent.data.len() && matches!(sent.end, End::WithTheLast);
        let _ = body.send_data(data.clone().into(), is_last);
    }
    let _ = match sent.end {
        End::WithTheLast if !sent.data.is_empty() => Ok(()),
        End::WithTheLast | End::Empty => body.send_data(Bytes::new(), true),
        End::Trailers => body.send_trailers(HeaderMap::from_iter(
            [traced].map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))),
        )),
    };
    let (head, mut body) = answer.await.unwrap().into_parts();
    let mut data = Vec::new();
    while let Some(more) = body.data().await {
        let more = more.unwrap();
        body.flow_control().release_capacity(more.len()).unwrap();
        data.extend(more);
    }
    let trailers = body.trailers().await.unwrap();
    Seen { status: head.status, headers: list(&head.headers), data, trailers: trailers.as_ref().map(list) }
}

fn headers() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let one_of = |name: &'static str, usual: usize, values: &'static [&'static str]| {
        let many = [vec![values[0]; usual], values.to_vec()].concat();
        prop::sample::select(many).prop_map(move |value| (!value.is_empty()).then_some((name, value)))
    };
    let headers = (
        one_of("content-type", 30, &["application/grpc", "application/grpc+proto", "text/plain", ""]),
        one_of("te", 5, &["trailers", ""]),
        one_of("grpc-timeout", 20, &["", "1H", "10S", "1", "-1S", "999999999S"]),
        one_of("grpc-encoding", 10, &["", "identity", "gzip", "seawall"]),
        one_of("x-data-bin", 20, &["", "AAAA", "?"]),
        one_of("x-data", 1, &["", "1"]),
        one_of("grpc-accept-encoding", 1, &["", "gzip"]),
    );
    headers.prop_map(|(a, b, c, d, e, f, g)| [a, b, c, d, e, f, g].into_iter().flatten().collect())
}

/// A message with its prefix.
fn framed(content: Vec<u8>) -> Vec<u8> {
    [&[0, 0, 0, 0, content.len() as u8], &content[..]].concat()
}

/// What may stand where a message is to be, with its prefix.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let good = "[a-z]{0,3}.{0,30}".prop_map(|user_id| {
        let message = GetUserRequest { user_id };
        framed(prost::Message::encode_to_vec(&message))
    });
    let flagged = (good.clone(), 1u8..4).prop_map(|(mut bytes, flag)| {
        bytes[0] = flag;
        bytes
    });
    let content = prop::collection::vec(any::<u8>(), 0..30);
    let large = framed(vec![b'a'; 201]);
    prop_oneof![
        12 => good,
        1 => flagged,
        1 => content.clone().prop_map(framed),
        1 => content,
        1 => Just(large),
    ]
}

fn sent() -> impl Strategy<Value = Sent> {
    let pieces = prop_oneof![6 => prop::collection::vec(piece(), 1), 1 => prop::collection::vec(piece(), 0..4)];
    let cut = prop_oneof![8 => Just(usize::MAX), 1 => 0usize..80];
    let length = prop_oneof![3 => Just(usize::MAX), 1 => 1usize..40];
    let end = prop_oneof![4 => Just(End::WithTheLast), 1 => Just(End::Empty), 1 => Just(End::Trailers)];
    (headers(), pieces, cut, length, end).prop_map(|(headers, pieces, cut, length, end)| {
        let mut bytes = pieces.concat();
        bytes.truncate(cut);
        Sent { headers, data: bytes.chunks(length).map(<[u8]>::to_vec).collect(), end }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_call_is_answered_alike(sent in sent()) {
        let Pair { runtime, ours, theirs } = &*PAIR;
        let ours = runtime.block_on(send(ours, &sent));
        let theirs = runtime.block_on(send(theirs, &sent));
        prop_assert_eq!(ours, theirs);
    }
}

#[test]
fn a_call_past_its_deadline_is_answered_alike() {
    let headers = vec![("content-type", "application/grpc"), ("grpc-timeout", "5m"), (WAIT, "1")];
    let sent = Sent { headers, data: vec![framed(Vec::new())], end: End::WithTheLast };
    let Pair { runtime, ours, theirs } = &*PAIR;
    let ours = runtime.block_on(send(ours, &sent));
    assert!(ours.headers.contains(&(Status::GRPC_STATUS, HeaderValue::from_static("4"))), "{ours:?}");
    assert_eq!(ours, runtime.block_on(send(theirs, &sent)));
}
