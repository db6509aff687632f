//! A peer that takes a call and is then gone, without a word.

use std::future::pending;
use std::net::SocketAddr;

use seawall_client::{Channel, Config};
use seawall_config::Reader;
use seawall_policy::Policies;
use seawall_proto::seawall::user::v1::CreateUserRequest;
use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;
use tokio::net::TcpListener;
use tonic::{Code, Request};

/// Reads nothing after the first call, so that it answers no probe.
async fn peer() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let _call = connection.accept().await;
        pending::<()>().await;
    });
    address
}

#[tokio::test]
async fn a_call_does_not_wait_for_a_peer_that_answers_no_probe() {
    let address = format!("http://{}", peer().await);
    let variables = [
        ("SEAWALL_PEER_ADDRESS", address.as_str()),
        ("SEAWALL_PEER_KEEPALIVE_INTERVAL", "50ms"),
        ("SEAWALL_PEER_KEEPALIVE_TIMEOUT", "50ms"),
    ];
    let config = Config::read(&mut Reader::new("", "", variables).section("peer"), "http://127.0.0.1:1");
    let mut users = UserServiceClient::new(Channel::new("peer", &config, &Policies::default()));
    let mut request = Request::new(CreateUserRequest::default());
    request.set_timeout(std::time::Duration::from_secs(3_600));
    assert_eq!(users.create_user(request).await.unwrap_err().code(), Code::Unavailable);
}
