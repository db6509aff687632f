//! Servers of the shop's contracts whose answers a test decides, and channels to them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use seawall_client::{Channel, Config};
use seawall_config::Reader;
use seawall_limit::ConcurrencyConfig;
use seawall_policy::Policies;
use seawall_proto::FILE_DESCRIPTOR_SET;
use seawall_proto::seawall::order::v1 as order;
use seawall_proto::seawall::order::v1::order_service_server::{OrderService, OrderServiceServer};
use seawall_proto::seawall::user::v1 as user;
use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;
use seawall_proto::seawall::user::v1::user_service_server::{UserService, UserServiceServer};
use seawall_server::{Server, contract};
use seawall_shutdown::Shutdown;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

/// How long something may take that is waited for, before it is taken for what will not happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// A call as a server sees it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    metadata: MetadataMap,
}

impl Call {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.metadata.get(name).map(|value| value.to_str().unwrap())
    }

    /// How many attempts were made before this one, as gRPC's header has it.
    pub(crate) fn attempts(&self) -> u32 {
        self.header("grpc-previous-rpc-attempts").map_or(0, |text| text.parse().unwrap())
    }
}

/// What a server answers: its caller gets the text as the id of a user or an order.
pub(crate) type Answer = Result<String, Status>;
type Answers = dyn Fn(Call) -> BoxFuture<'static, Answer> + Send + Sync;
type Watched = BoxStream<'static, Result<order::WatchOrderResponse, Status>>;
type Watches = dyn Fn(Call) -> Watched + Send + Sync;

/// Both services. Every method answers by the same function, but for the one that streams.
#[derive(Clone)]
pub(crate) struct Shop {
    answers: Arc<Answers>,
    watches: Arc<Watches>,
}

impl Shop {
    pub(crate) fn new<F, A>(answer: F) -> Self
    where
        F: Fn(Call) -> A + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        Self { answers: Arc::new(move |call| answer(call).boxed()), watches: Arc::new(|_| stream::empty().boxed()) }
    }

    /// A shop whose streams of orders are these.
    pub(crate) fn watched(watches: impl Fn(Call) -> Watched + Send + Sync + 'static) -> Self {
        Self { watches: Arc::new(watches), ..Self::new(|_| async { Err(Status::unimplemented("only watched")) }) }
    }

    fn answer<T>(&self, method: &'static str, request: &Request<T>) -> BoxFuture<'static, Answer> {
        (self.answers)(Call { method, metadata: request.metadata().clone() })
    }
}

type Answered<T> = Result<Response<T>, Status>;

fn a_user(user_id: String) -> Option<user::User> {
    Some(user::User { user_id, ..user::User::default() })
}

fn an_order(order_id: String) -> Option<order::Order> {
    Some(order::Order { order_id, ..order::Order::default() })
}

/// An order with this id, as a stream has it.
pub(crate) fn watched(order_id: &str) -> order::WatchOrderResponse {
    order::WatchOrderResponse { order: an_order(order_id.to_owned()) }
}

#[tonic::async_trait]
impl UserService for Shop {
    async fn create_user(&self, it: Request<user::CreateUserRequest>) -> Answered<user::CreateUserResponse> {
        let user = a_user(self.answer("CreateUser", &it).await?);
        Ok(Response::new(user::CreateUserResponse { user }))
    }

    async fn get_user(&self, it: Request<user::GetUserRequest>) -> Answered<user::GetUserResponse> {
        let user = a_user(self.answer("GetUser", &it).await?);
        Ok(Response::new(user::GetUserResponse { user }))
    }

    async fn batch_get_users(&self, it: Request<user::BatchGetUsersRequest>) -> Answered<user::BatchGetUsersResponse> {
        let users = a_user(self.answer("BatchGetUsers", &it).await?).into_iter().collect();
        Ok(Response::new(user::BatchGetUsersResponse { users, missing_user_ids: Vec::new() }))
    }

    async fn list_users(&self, it: Request<user::ListUsersRequest>) -> Answered<user::ListUsersResponse> {
        let users = a_user(self.answer("ListUsers", &it).await?).into_iter().collect();
        Ok(Response::new(user::ListUsersResponse { users, next_page_token: String::new() }))
    }

    async fn update_user(&self, it: Request<user::UpdateUserRequest>) -> Answered<user::UpdateUserResponse> {
        let user = a_user(self.answer("UpdateUser", &it).await?);
        Ok(Response::new(user::UpdateUserResponse { user }))
    }

    async fn delete_user(&self, it: Request<user::DeleteUserRequest>) -> Answered<user::DeleteUserResponse> {
        self.answer("DeleteUser", &it).await?;
        Ok(Response::new(user::DeleteUserResponse {}))
    }

    /// Answers when the whole stream has come.
    async fn import_users(
        &self,
        it: Request<Streaming<user::ImportUsersRequest>>,
    ) -> Answered<user::ImportUsersResponse> {
        let answer = self.answer("ImportUsers", &it);
        let mut rows = it.into_inner();
        let mut created_count = 0;
        while rows.message().await?.is_some() {
            created_count += 1;
        }
        answer.await?;
        Ok(Response::new(user::ImportUsersResponse { created_count, ..Default::default() }))
    }
}

#[tonic::async_trait]
impl OrderService for Shop {
    type WatchOrderStream = Pin<Box<dyn futures_util::Stream<Item = Result<order::WatchOrderResponse, Status>> + Send>>;

    async fn place_order(&self, it: Request<order::PlaceOrderRequest>) -> Answered<order::PlaceOrderResponse> {
        let order = an_order(self.answer("PlaceOrder", &it).await?);
        Ok(Response::new(order::PlaceOrderResponse { order }))
    }

    async fn get_order(&self, it: Request<order::GetOrderRequest>) -> Answered<order::GetOrderResponse> {
        let order = an_order(self.answer("GetOrder", &it).await?);
        Ok(Response::new(order::GetOrderResponse { order }))
    }

    async fn list_orders(&self, it: Request<order::ListOrdersRequest>) -> Answered<order::ListOrdersResponse> {
        let orders = an_order(self.answer("ListOrders", &it).await?).into_iter().collect();
        Ok(Response::new(order::ListOrdersResponse { orders, next_page_token: String::new() }))
    }

    async fn cancel_order(&self, it: Request<order::CancelOrderRequest>) -> Answered<order::CancelOrderResponse> {
        let order = an_order(self.answer("CancelOrder", &it).await?);
        Ok(Response::new(order::CancelOrderResponse { order }))
    }

    async fn watch_order(&self, it: Request<order::WatchOrderRequest>) -> Answered<Self::WatchOrderStream> {
        Ok(Response::new((self.watches)(Call { method: "WatchOrder", metadata: it.metadata().clone() })))
    }
}

/// A server that runs until this is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) metrics: SocketAddr,
    pub(crate) shutdown: Shutdown,
    pub(crate) task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves the shop with policies that refuse nothing.
pub(crate) async fn serve(shop: Shop) -> Running {
    serve_with(shop, &policies(""), None).await
}

pub(crate) async fn serve_with(shop: Shop, policies: &Policies, concurrency: Option<ConcurrencyConfig>) -> Running {
    serve_set(shop, policies, |config| config.concurrency = concurrency).await
}

/// Serves the shop with settings that `set` has changed.
pub(crate) async fn serve_set(
    shop: Shop,
    policies: &Policies,
    set: impl FnOnce(&mut seawall_server::Config),
) -> Running {
    let variables = [
        ("SEAWALL_SERVER_LISTEN", "127.0.0.1:0"),
        ("SEAWALL_SERVER_METRICS_LISTEN", "127.0.0.1:0"),
        ("SEAWALL_SERVER_REFLECTION", "true"),
        ("SEAWALL_SERVER_ADMIN", "write"),
        // How busy the machine is has nothing to do with what is tested here.
        ("SEAWALL_SERVER_CPU_MAX", "1"),
    ];
    let mut reader = Reader::new("", "", variables);
    let mut config = seawall_server::Config::read(&mut reader.section("server"), 0, 0);
    reader.finish().unwrap();
    config.concurrency = None;
    set(&mut config);
    let server = Server::with_policies(config, FILE_DESCRIPTOR_SET, policies.clone())
        .add_service(UserServiceServer::new(shop.clone()))
        .add_service(OrderServiceServer::new(shop));
    let bound = server.bind().await.unwrap();
    let (address, metrics) = (bound.address().unwrap(), bound.metrics_address().unwrap());
    let shutdown = Shutdown::new(PATIENCE);
    let task = tokio::spawn(bound.run(shutdown.clone()));
    Running { address, metrics, shutdown, task }
}

/// A file of policies in a folder of its own.
pub(crate) struct File(TempDir);

impl File {
    pub(crate) fn new(text: &str) -> Self {
        let file = Self(tempfile::tempdir().unwrap());
        file.write(text);
        file
    }

    /// `text` begins in the section `[default]`.
    pub(crate) fn write(&self, text: &str) {
        // Elsewhere first, so that nobody reads half of it.
        let whole = self.0.path().join("whole");
        std::fs::write(&whole, format!("[default]\nbudget = \"60s\"\n{text}")).unwrap();
        std::fs::rename(whole, self.path()).unwrap();
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("policy.toml")
    }

    pub(crate) fn policies(&self) -> Policies {
        Policies::try_new(contract(FILE_DESCRIPTOR_SET).unwrap(), Some(self.path())).unwrap()
    }
}

/// The contracts' policies with these over them; the text begins in the section `[default]`.
pub(crate) fn policies(text: &str) -> Policies {
    File::new(text).policies()
}

/// The settings of a channel to these endpoints.
pub(crate) fn config(endpoints: &[SocketAddr]) -> Config {
    let addresses: Vec<String> = endpoints.iter().map(|endpoint| format!("http://{endpoint}")).collect();
    let mut reader = Reader::new("", "", [("SEAWALL_PEER_ADDRESS", addresses.join(","))]);
    let config = Config::read(&mut reader.section("peer"), "http://127.0.0.1:1");
    reader.finish().unwrap();
    config
}

/// A channel to these endpoints. Peers are told apart by name in the whole process.
pub(crate) fn channel(peer: &'static str, endpoints: &[SocketAddr], policies: &Policies) -> Channel {
    Channel::new(peer, &config(endpoints), policies)
}

/// A client of the user service with such a channel.
pub(crate) fn users(peer: &'static str, endpoints: &[SocketAddr], policies: &Policies) -> UserServiceClient<Channel> {
    UserServiceClient::new(channel(peer, endpoints, policies))
}

/// The id that a server has answered a call of this method with.
pub(crate) async fn get(mut users: UserServiceClient<Channel>) -> Answer {
    Ok(users.get_user(user::GetUserRequest::default()).await?.into_inner().user.unwrap().user_id)
}

/// The same, with a method that is not idempotent and is not retried.
pub(crate) async fn create(mut users: UserServiceClient<Channel>) -> Answer {
    Ok(users.create_user(user::CreateUserRequest::default()).await?.into_inner().user.unwrap().user_id)
}

/// Waits for something to be so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: in vain");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
