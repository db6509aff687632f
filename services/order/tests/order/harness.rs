//! A running service for each test, and what a client reads from its errors.

use std::time::Duration;

use seawall_client::Channel;
use seawall_config::Reader;
use seawall_policy::Policies;
use seawall_proto::FILE_DESCRIPTOR_SET;
use seawall_proto::seawall::order::v1::order_service_client::OrderServiceClient;
use seawall_proto::seawall::order::v1::{Money, Order, OrderLine, PlaceOrderRequest};
use seawall_proto::seawall::user::v1::user_service_server::UserServiceServer;
use seawall_server::Server;
use seawall_shutdown::Shutdown;
use seawall_testkit::Refusal;
use tonic::{Code, Status};

use crate::users::Users;

/// The client that the contract generates.
pub(crate) type Client = OrderServiceClient<Channel>;

pub(crate) const ANN: &str = "0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";
pub(crate) const BOB: &str = "0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5c";

/// An order service with an empty database, and the user service that it asks.
pub(crate) struct Stack {
    pub(crate) client: Client,
    pub(crate) users: Users,
    url: String,
    users_address: String,
    shutdown: Shutdown,
}

/// Runs `test` on each engine in turn.
pub(crate) async fn on_each_engine(test: impl AsyncFn(&Stack)) {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite://{}/order.db", folder.path().display());
    for url in [Some(sqlite), seawall_testkit::postgres::database().await].into_iter().flatten() {
        println!("on {url}");
        let stack = Stack::start(url).await;
        test(&stack).await;
        stack.shutdown.begin();
    }
}

impl Stack {
    async fn start(url: String) -> Self {
        let shutdown = Shutdown::new(Duration::ZERO);
        let users = Users::new();
        let server = Server::try_new(server_config(), FILE_DESCRIPTOR_SET).unwrap();
        let users_address = serve(server.add_service(UserServiceServer::new(users.clone())), &shutdown).await;
        let client = start_orders(&url, &users_address, LONG, &shutdown).await;
        Self { client, users, url, users_address, shutdown }
    }

    /// A client of another order service on the same database, as another process has one.
    pub(crate) async fn another(&self, watch_poll_interval: &str) -> Client {
        start_orders(&self.url, &self.users_address, watch_poll_interval, &self.shutdown).await
    }

    /// A client of another order service on the same database that finds no user service.
    pub(crate) async fn without_users(&self) -> Client {
        // The port was free a moment ago, and nothing answers on it.
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        start_orders(&self.url, &format!("http://{closed}"), LONG, &self.shutdown).await
    }
}

/// Longer than any test: what is seen then was announced.
const LONG: &str = "1min";

/// The service as its process starts it, with the same settings by the same names.
async fn start_orders(url: &str, users_address: &str, watch_poll_interval: &str, shutdown: &Shutdown) -> Client {
    let variables = [
        ("SEAWALL_SQL_URL", url),
        ("SEAWALL_USER_ADDRESS", users_address),
        ("SEAWALL_ORDER_WATCH_POLL_INTERVAL", watch_poll_interval),
    ];
    let mut reader = Reader::new("", "", variables);
    let config = order::Config::read(&mut reader);
    reader.finish().unwrap();
    let server = order::start(config, Server::try_new(server_config(), FILE_DESCRIPTOR_SET).unwrap()).await.unwrap();
    connect(&serve(server, shutdown).await)
}

fn server_config() -> seawall_server::Config {
    let variables = [("SEAWALL_SERVER_LISTEN", "127.0.0.1:0"), ("SEAWALL_SERVER_METRICS_LISTEN", "127.0.0.1:0")];
    let mut reader = Reader::new("", "", variables);
    let config = seawall_server::Config::read(&mut reader.section("server"), 0, 0);
    reader.finish().unwrap();
    config
}

async fn serve(server: Server, shutdown: &Shutdown) -> String {
    let bound = server.bind().await.unwrap();
    let address = format!("http://{}", bound.address().unwrap());
    tokio::spawn(bound.run(shutdown.clone()));
    address
}

fn connect(address: &str) -> Client {
    let variables = [("SEAWALL_ORDER_ADDRESS", address), ("SEAWALL_ORDER_TIMEOUT", "1min")];
    let mut reader = Reader::new("", "", variables);
    let config = seawall_client::Config::read(&mut reader.section("order"), "http://127.0.0.1:1");
    reader.finish().unwrap();
    OrderServiceClient::new(Channel::new("order", &config, &Policies::default()))
}

pub(crate) fn money(currency_code: &str, units: i64, nanos: i32) -> Money {
    Money { currency_code: currency_code.into(), units, nanos }
}

pub(crate) fn line(sku: &str, quantity: i32, unit_price: Money) -> OrderLine {
    OrderLine { sku: sku.into(), quantity, unit_price: Some(unit_price) }
}

/// A good order: two teas and a cup, for 31.49 euros.
pub(crate) fn request(user_id: &str, idempotency_key: &str) -> PlaceOrderRequest {
    let lines = vec![line("tea", 2, money("EUR", 12, 500_000_000)), line("cup", 1, money("EUR", 6, 490_000_000))];
    PlaceOrderRequest { user_id: user_id.into(), lines, idempotency_key: idempotency_key.into() }
}

pub(crate) async fn place(client: &Client, request: PlaceOrderRequest) -> Result<Order, Status> {
    Ok(client.clone().place_order(request).await?.into_inner().order.unwrap())
}

/// What `answer` was refused with; every error must name the trace, and Seawall or this service.
pub(crate) fn refusal<T: std::fmt::Debug>(answer: Result<T, Status>) -> Refusal {
    assert!(!format!("{answer:?}").contains("secret"), "{answer:?}");
    Refusal::of(answer, &["order.seawall.dev", "seawall.dev"])
}

pub(crate) fn order_not_found(order_id: &str) -> Refusal {
    Refusal::new(Code::NotFound, "ORDER_NOT_FOUND").about("seawall.order.v1.Order", order_id)
}

pub(crate) fn user_not_found(user_id: &str) -> Refusal {
    Refusal::new(Code::NotFound, "USER_NOT_FOUND").about("seawall.user.v1.User", user_id)
}
