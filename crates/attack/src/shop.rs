//! Good calls of the services, through Seawall's own channel.

use std::future::Future;

use anyhow::{Context, Result};
use seawall_client::{Channel, Config};
use seawall_config::Reader;
use seawall_policy::Policies;
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

/// What makes a call of GetUser. No policy makes it again: each failure is seen.
pub(crate) fn get_user(
    url: &str,
    user_id: String,
) -> impl Fn(u64) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Status>> + Send>> + use<> {
    let users = UserServiceClient::new(channel(url, &Policies::default()));
    move |_| {
        let (mut users, user_id) = (users.clone(), user_id.clone());
        Box::pin(async move { users.get_user(GetUserRequest { user_id }).await.map(drop) })
    }
}
