//! Good calls of the services, through Seawall's own channel.

use std::future::Future;
use std::pin::Pin;

use anyhow::{Context, Result};
use seawall_client::{Channel, Config};
use seawall_config::Reader;
use seawall_policy::{Contract, Policies};
use seawall_proto::FILE_DESCRIPTOR_SET;
use seawall_proto::seawall::order::v1::order_service_client::OrderServiceClient;
use seawall_proto::seawall::order::v1::{GetOrderRequest, Money, OrderLine, PlaceOrderRequest};
use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;
use seawall_proto::seawall::user::v1::{CreateUserRequest, GetUserRequest, User};
use tonic::Status;

/// A channel to these addresses. Calls take as long as their contracts say, or as attempts of a second.
pub(crate) fn channel(url: &str, policies: &Policies) -> Channel {
    let mut reader = Reader::new("", "", [("SEAWALL_PEER_ADDRESS", url), ("SEAWALL_PEER_TIMEOUT", "1s")]);
    let config = Config::read(&mut reader.section("peer"), "http://127.0.0.1:1");
    Channel::new("peer", &config, policies)
}

/// Creates a user and answers its id.
pub(crate) async fn create_user(url: &str) -> Result<String> {
    let user = User { email: "grace@example.com".into(), display_name: "Grace".into(), ..User::default() };
    let mut users = UserServiceClient::new(channel(url, &Policies::default()));
    let created = users.create_user(CreateUserRequest { user: Some(user) }).await?.into_inner();
    Ok(created.user.context("CreateUser answers without a user")?.user_id)
}

/// A call that is made.
type Call = Pin<Box<dyn Future<Output = Result<(), Status>> + Send>>;

/// What makes a call of GetUser. No policy makes it again: each failure is seen.
pub(crate) fn get_user(url: &str, user_id: String) -> impl Fn(u64) -> Call + use<> {
    let users = UserServiceClient::new(channel(url, &Policies::default()));
    move |_| {
        let (mut users, user_id) = (users.clone(), user_id.clone());
        Box::pin(async move { users.get_user(GetUserRequest { user_id }).await.map(drop) })
    }
}

/// What makes idempotent calls of both services, with the policies of their contracts: orders are placed and
/// read, and users are read. `user_urls` has commas between them.
pub(crate) fn idempotent(user_urls: &str, order_url: &str, user_id: String) -> impl Fn(u64) -> Call + use<> {
    // A contract that cannot be read has no policies, and calls fail all the sooner.
    let contract = Contract::try_new(&[FILE_DESCRIPTOR_SET]).ok();
    let policies = contract.and_then(|contract| Policies::try_new(contract, None).ok()).unwrap_or_default();
    let users = UserServiceClient::new(channel(user_urls, &policies));
    let orders = OrderServiceClient::new(channel(order_url, &policies));
    move |n| {
        let (mut users, mut orders, user_id) = (users.clone(), orders.clone(), user_id.clone());
        Box::pin(async move {
            if !n.is_multiple_of(2) {
                return users.get_user(GetUserRequest { user_id }).await.map(drop);
            }
            let unit_price = Some(Money { currency_code: "EUR".into(), units: 12, nanos: 500_000_000 });
            let lines = vec![OrderLine { sku: "tea".into(), quantity: 2, unit_price }];
            // Every order is placed twice, and is the same order.
            let idempotency_key = format!("drill-{}", n / 4);
            let placed = orders.place_order(PlaceOrderRequest { user_id, lines, idempotency_key }).await?;
            let order_id = placed.into_inner().order.unwrap_or_default().order_id;
            orders.get_order(GetOrderRequest { order_id }).await.map(drop)
        })
    }
}
