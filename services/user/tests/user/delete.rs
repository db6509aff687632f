//! DeleteUser.

use seawall_proto::seawall::user::v1::{DeleteUserRequest, DeleteUserResponse, GetUserRequest};
use seawall_testkit::Refusal;
use tonic::{Code, Status};

use crate::harness::{Client, about_user, create, on_each_engine, refusal, stale};

async fn delete(client: &Client, user_id: &str, etag: &str) -> Result<DeleteUserResponse, Status> {
    let request = DeleteUserRequest { user_id: user_id.into(), etag: etag.into() };
    client.clone().delete_user(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_deleted_user_is_gone_and_the_email_free() {
    on_each_engine(async |client| {
        let user = create(&client, "ann@example.com").await;
        assert_eq!(refusal(delete(&client, &user.user_id, "made up").await), stale());
        delete(&client, &user.user_id, &user.etag).await.unwrap();

        let gone = || about_user(Code::NotFound, "USER_NOT_FOUND", &user.user_id);
        let request = GetUserRequest { user_id: user.user_id.clone() };
        assert_eq!(refusal(client.clone().get_user(request).await), gone());
        assert_eq!(refusal(delete(&client, &user.user_id, "").await), gone());
        assert_eq!(refusal(delete(&client, &user.user_id, &user.etag).await), gone());
        create(&client, "ann@example.com").await;
    })
    .await;
}

#[tokio::test]
async fn without_an_etag_any_version_is_deleted() {
    on_each_engine(async |client| {
        let user = create(&client, "ann@example.com").await;
        delete(&client, &user.user_id, "").await.unwrap();
        assert_eq!(refusal(delete(&client, "x", "").await), Refusal::bad(&["user_id"]));
    })
    .await;
}
