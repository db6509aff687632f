//! GetUser.

use seawall_proto::seawall::user::v1::GetUserRequest;
use seawall_testkit::Refusal;
use tonic::Code;

use crate::harness::{about_user, create, on_each_engine, refusal};

const NOBODY: &str = "0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";

#[tokio::test]
async fn an_id_without_a_user_is_not_found_and_what_is_no_id_is_bad() {
    on_each_engine(async |client| {
        let get = async |id: &str| client.clone().get_user(GetUserRequest { user_id: id.into() }).await;
        assert_eq!(refusal(get(NOBODY).await), about_user(Code::NotFound, "USER_NOT_FOUND", NOBODY));
        for malformed in ["", "7", "' OR 1=1 --"] {
            assert_eq!(refusal(get(malformed).await), Refusal::bad(&["user_id"]));
        }
    })
    .await;
}

#[tokio::test]
async fn an_id_is_the_same_in_capitals() {
    on_each_engine(async |client| {
        let user = create(&client, "ann@example.com").await;
        let request = GetUserRequest { user_id: user.user_id.to_uppercase() };
        assert_eq!(client.clone().get_user(request).await.unwrap().into_inner().user, Some(user));
    })
    .await;
}
