//! Answers that are not what gRPC or the settings allow.

use seawall_client::{Channel, Config};
use seawall_config::Reader;
use seawall_proto::seawall::user::v1::CreateUserRequest;
use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;
use tonic::{Code, Status};

use crate::raw::Raw;
use crate::shop::{get, policies};

/// How a call ends whose answer has these messages, on a channel that takes up to 2 KiB.
async fn answered(peer: &'static str, messages: &'static [&'static [u8]]) -> Result<String, Status> {
    let server = Raw::play(move |_, mut talk| async move {
        talk.begin(None).await?;
        loop {
            let stream = talk.call().await?;
            talk.answer(stream, messages).await?;
        }
    })
    .await;
    let variables = [
        ("SEAWALL_PEER_ADDRESS", format!("http://{}", server.address)),
        ("SEAWALL_PEER_MESSAGE_BYTES_MAX", "2048".to_owned()),
    ];
    let mut reader = Reader::new("", "", variables);
    let config = Config::read(&mut reader.section("peer"), "http://127.0.0.1:1");
    reader.finish().unwrap();
    get(UserServiceClient::new(Channel::new(peer, &config, &policies("")))).await
}

/// A user whose only field is an id, `seven`.
const USER: &[u8] = b"\x0a\x07\x0a\x05seven";

#[tokio::test]
async fn an_answer_is_one_message_of_a_size_that_is_allowed() {
    assert_eq!(answered("answer-one", &[USER]).await.unwrap(), "seven");
    let two = answered("answer-two", &[USER, USER]).await.unwrap_err();
    assert_eq!(two.code(), Code::Unimplemented, "{two}");
    let none = answered("answer-none", &[]).await.unwrap_err();
    assert_eq!(none.code(), Code::Unimplemented, "{none}");
    let large = answered("answer-large", &[&[0; 2_049]]).await.unwrap_err();
    assert_eq!(large.code(), Code::ResourceExhausted, "{large}");
    assert!(large.message().contains("2049 bytes; at most 2048"), "{large}");
}

/// Makes a call that is not retried, whose answer may be empty.
pub(crate) async fn created(mut users: UserServiceClient<Channel>) -> Result<(), Status> {
    users.create_user(CreateUserRequest::default()).await.map(|_| ())
}
