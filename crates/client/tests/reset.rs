//! A call that the peer resets ends with the code that the reason stands for.

use std::net::SocketAddr;
use std::time::Duration;

use h2::Reason;
use seawall_client::{Channel, Config};
use seawall_config::Reader;
use seawall_deadline::{GRPC_TIMEOUT, parse_timeout};
use seawall_policy::Policies;
use seawall_proto::seawall::user::v1::GetUserRequest;
use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;
use tokio::net::TcpListener;
use tonic::{Code, Request};

/// Resets every call: at once, or when the time that it was told is over.
async fn peer(reason: Reason, is_patient: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            tokio::spawn(async move {
                if is_patient {
                    let told = parse_timeout(request.headers()[GRPC_TIMEOUT].as_bytes()).unwrap();
                    tokio::time::sleep(told).await;
                }
                respond.send_reset(reason);
            });
        }
    });
    address
}

/// The peer's deadline is sooner than ours by `margin`.
async fn called(address: SocketAddr, timeout: Duration, margin: &str) -> Code {
    let address = format!("http://{address}");
    let variables = [("SEAWALL_PEER_ADDRESS", address.as_str()), ("SEAWALL_PEER_DEADLINE_MARGIN", margin)];
    let config = Config::read(&mut Reader::new("", "", variables).section("peer"), "http://127.0.0.1:1");
    let channel = Channel::new("peer", &config, &Policies::default());
    let mut request = Request::new(GetUserRequest::default());
    request.set_timeout(timeout);
    UserServiceClient::new(channel).get_user(request).await.unwrap_err().code()
}

#[tokio::test]
async fn a_reset_is_the_code_of_its_reason() {
    for (reason, code) in [
        (Reason::NO_ERROR, Code::Internal),
        (Reason::PROTOCOL_ERROR, Code::Internal),
        (Reason::CANCEL, Code::Cancelled),
        (Reason::ENHANCE_YOUR_CALM, Code::ResourceExhausted),
        (Reason::INADEQUATE_SECURITY, Code::PermissionDenied),
    ] {
        assert_eq!(called(peer(reason, false).await, Duration::from_secs(60), "5ms").await, code, "{reason:?}");
    }
}

#[tokio::test]
async fn a_peer_that_cancels_when_its_time_is_over_was_late() {
    let code = called(peer(Reason::CANCEL, true).await, Duration::from_secs(1), "500ms").await;
    assert_eq!(code, Code::DeadlineExceeded);
}
