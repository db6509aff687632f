//! A channel to peers that are absent, silent, or gone in the middle.

use std::time::{Duration, Instant};

use seawall_client::{Channel, Config};
use seawall_config::Reader;
use seawall_deadline::Deadline;
use seawall_policy::Policies;
use seawall_proto::seawall::user::v1::GetUserRequest;
use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tonic::{Code, Status};

fn config(address: &str) -> Config {
    let variables = [("SEAWALL_PEER_ADDRESS", address), ("SEAWALL_PEER_TIMEOUT", "20s")];
    let mut reader = Reader::new("", "", variables);
    let config = Config::read(&mut reader.section("peer"), "http://127.0.0.1:1");
    reader.finish().unwrap();
    config
}

async fn call(address: std::net::SocketAddr) -> Status {
    let channel = Channel::new("peer", &config(&format!("http://{address}")), &Policies::default());
    UserServiceClient::new(channel).get_user(GetUserRequest::default()).await.unwrap_err()
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_unavailable() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let status = call(address).await;
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "the peer cannot be reached"));
}

#[tokio::test]
async fn a_peer_that_hangs_up_in_the_middle_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            // Enough to have begun: the preface.
            let _ = stream.read_exact(&mut [0; 24]).await;
        }
    });
    assert_eq!(call(address).await.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_waited_for_until_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let start = Instant::now();
    let status = Deadline::after(Duration::from_millis(300)).scope(call(address)).await;
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[test]
fn an_address_that_is_none_is_refused() {
    for wrong in ["127.0.0.1:50051", "ftp://127.0.0.1:50051", "http://", "http://host/path", ""] {
        let mut reader = Reader::new("", "", [("SEAWALL_PEER_ADDRESS", wrong)]);
        Config::read(&mut reader.section("peer"), "http://127.0.0.1:1");
        let mistakes = reader.finish().unwrap_err().to_string();
        assert!(mistakes.contains("must be a URL such as http://127.0.0.1:50051"), "{wrong}: {mistakes}");
    }
}
