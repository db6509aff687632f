//! BatchGetUsers.

use seawall_proto::seawall::user::v1::{BatchGetUsersRequest, BatchGetUsersResponse};
use seawall_testkit::Refusal;

use crate::harness::{create, on_each_engine, refusal};

const NOBODY: &str = "0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";
const NOR_HERE: &str = "0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5c";

fn request(ids: &[&str]) -> BatchGetUsersRequest {
    BatchGetUsersRequest { user_ids: ids.iter().map(|id| (*id).to_owned()).collect() }
}

#[tokio::test]
async fn users_come_in_the_order_asked_and_the_missing_are_named() {
    on_each_engine(async |client| {
        let ann = create(&client, "ann@example.com").await;
        let bob = create(&client, "bob@example.com").await;
        create(&client, "not@asked.for").await;
        let asked = request(&[NOR_HERE, &bob.user_id, &ann.user_id, NOBODY, &bob.user_id]);
        let answer = client.clone().batch_get_users(asked).await.unwrap().into_inner();
        let missing_user_ids = vec![NOR_HERE.to_owned(), NOBODY.to_owned()];
        assert_eq!(answer, BatchGetUsersResponse { users: vec![bob.clone(), ann, bob], missing_user_ids });
    })
    .await;
}

#[tokio::test]
async fn a_hundred_ids_are_the_most() {
    on_each_engine(async |client| {
        let ann = create(&client, "ann@example.com").await;
        let most = vec![ann.user_id.as_str(); 100];
        let answer = client.clone().batch_get_users(request(&most)).await.unwrap().into_inner();
        assert_eq!(answer.users.len(), 100);

        let too_many = vec![NOBODY; 101];
        assert_eq!(refusal(client.clone().batch_get_users(request(&too_many)).await), Refusal::bad(&["user_ids"]));
        assert_eq!(refusal(client.clone().batch_get_users(request(&[])).await), Refusal::bad(&["user_ids"]));
        let malformed = request(&["x", NOBODY, ""]);
        assert_eq!(
            refusal(client.clone().batch_get_users(malformed).await),
            Refusal::bad(&["user_ids[0]", "user_ids[2]"])
        );
    })
    .await;
}
