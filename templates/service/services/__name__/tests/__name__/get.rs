//% if sql
//! GetItem.

use __root___proto::__root__::__name__::v1::GetItemRequest;
use seawall_testkit::Refusal;

use crate::harness::{create, item_not_found, on_each_engine, refusal};

const NOTHING: &str = "0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";

#[tokio::test]
async fn an_id_without_an_item_is_not_found_and_what_is_no_id_is_bad() {
    on_each_engine(async |client| {
        let get = async |id: &str| client.clone().get_item(GetItemRequest { item_id: id.into() }).await;
        assert_eq!(refusal(get(NOTHING).await), item_not_found(NOTHING));
        for malformed in ["", "7", "' OR 1=1 --"] {
            assert_eq!(refusal(get(malformed).await), Refusal::bad(&["item_id"]));
        }
    })
    .await;
}

#[tokio::test]
async fn an_id_is_the_same_in_capitals() {
    on_each_engine(async |client| {
        let item = create(&client, "first").await;
        let request = GetItemRequest { item_id: item.item_id.to_uppercase() };
        assert_eq!(client.clone().get_item(request).await.unwrap().into_inner().item, Some(item));
    })
    .await;
}
//% end
