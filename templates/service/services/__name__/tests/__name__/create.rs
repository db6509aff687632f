//% if sql
//! CreateItem.

use __root___proto::__root__::__name__::v1::{CreateItemRequest, GetItemRequest, Item};
use seawall_testkit::Refusal;

use crate::harness::{chosen, create, on_each_engine, refusal};

#[tokio::test]
async fn a_created_item_has_what_was_chosen_and_what_is_assigned() {
    on_each_engine(async |client| {
        let asked = Item { item_id: "mine".into(), ..chosen(" first ") };
        let answer = client.clone().create_item(CreateItemRequest { item: Some(asked) }).await.unwrap();
        let item = answer.into_inner().item.unwrap();
        assert_eq!(item.title, "first");
        // The 15th character of a UUID is its version.
        assert_eq!((item.item_id.len(), item.item_id.as_bytes()[14]), (36, b'7'));
        assert!(item.create_time.is_some_and(|time| time.seconds > 1_700_000_000));

        let request = GetItemRequest { item_id: item.item_id.clone() };
        assert_eq!(client.clone().get_item(request).await.unwrap().into_inner().item, Some(item));
    })
    .await;
}

#[tokio::test]
async fn every_bad_field_is_named() {
    on_each_engine(async |client| {
        for title in ["", "a\0b", &"x".repeat(101)] {
            let answer = client.clone().create_item(CreateItemRequest { item: Some(chosen(title)) }).await;
            assert_eq!(refusal(answer), Refusal::bad(&["item.title"]));
        }
        let answer = client.clone().create_item(CreateItemRequest { item: None }).await;
        let bad = [
            "item.title",
//% each calls
            "item.__peer___id",
//% end
        ];
        assert_eq!(refusal(answer), Refusal::bad(&bad));
    })
    .await;
}

#[tokio::test]
async fn two_items_may_be_alike() {
    on_each_engine(async |client| {
        let (one, other) = (create(&client, "first").await, create(&client, "first").await);
        assert_ne!(one.item_id, other.item_id);
    })
    .await;
}
//% end
